"""JSON as TensorFlow Serving's REST API reads it: a request's document, its strings, and what errors quote of it."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from serving.server.requests.checks import invalid

SIGNATURE = "signature_name"
BASE64 = "b64"  # the only key of an object that stands for bytes
MAX_QUOTED = 256  # characters of a value that an error quotes
INDENT = "    "
WHITESPACE = " \t\n\r"
# Python's messages -> RapidJSON's
PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or a bracket after an element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}
Json = Any  # dict, list, str, int, float, bool or None


def parse(body: bytes) -> dict[str, Json]:
    """Returns the JSON object of a request's body; text after it is ignored. Bytes that are not UTF-8 stay as they are.

    Raises:
        Refused: It is no JSON object.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff").lstrip(WHITESPACE)
    if not text:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        known = [words for start, words in PARSE_ERRORS.items() if error.msg.startswith(start)]
        raise invalid(f"JSON Parse error: {known[0] if known else error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: expected fewer lists inside each other") from None
    except ValueError:  # Python refuses integers of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if type(document) is not dict:
        raise invalid(f"JSON Value: {quoted(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Json]) -> str:
    """Returns the name of the requested signature; empty for the default one."""
    name = document.get(SIGNATURE, "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {quoted(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return whole(name)


def whole(text: str) -> str:
    """Returns the text with U+FFFD for what is no character: bytes that are not UTF-8, halves of surrogate pairs."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def bytes_of(leaf: Json) -> bytes:
    """Returns the bytes of a string or of an object with base64."""
    if type(leaf) is str:
        try:
            return leaf.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    if not is_base64(leaf):
        raise invalid(f"JSON Value: {quoted(leaf)} not formatted correctly for base64 data")
    try:
        text = "".join(leaf[BASE64].split()).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def is_base64(value: Json) -> bool:
    """Returns whether a value is the form of bytes, `{"b64": "..."}`."""
    return type(value) is dict and len(value) == 1 and type(value.get(BASE64)) is str


def is_object(value: Json) -> bool:
    """Returns whether a value is an object that does not stand for bytes."""
    return type(value) is dict and not is_base64(value)


def quoted(value: Json) -> str:
    """Returns a value as JSON for an error message, cut after `MAX_QUOTED` characters."""
    written: list[str] = []
    length = 0
    for part in _parts(value, 0):
        if length >= MAX_QUOTED:
            break
        written.append(part)
        length += len(part)
    return whole("".join(written))


def _parts(value, level):
    """Yields the JSON of a value, a token at a time; lists in one line."""
    if type(value) is dict:
        inner = "\n" + INDENT * (level + 1)
        for i, (key, part) in enumerate(value.items()):
            yield f"{',' if i else '{'}{inner}{json.dumps(key, ensure_ascii=False)}: "
            yield from _parts(part, level + 1)
        yield "\n" + INDENT * level + "}" if value else "{}"
    elif type(value) is list:
        for i, part in enumerate(value):
            yield ", " if i else "["
            yield from _parts(part, level + 1)
        yield "]" if value else "[]"
    else:
        yield json.dumps(value, ensure_ascii=False)


def kind_of(value: Json) -> str:
    """Returns what RapidJSON calls a value."""
    return "True" if value is True else "False" if value is False else NAMES[type(value)]
