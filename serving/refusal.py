"""A request that cannot be answered, and why."""

LONGEST = 1024  # bytes of an error's text, as in TensorFlow Serving


class Refused(Exception):
    """A request that cannot be answered.

    Args:
        code: Name of a gRPC status code.
        message: TensorFlow Serving's text where it has one.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


def cut(text):
    """Returns a text that fits a gRPC status: no lone surrogates, and of bounded size whatever the request named."""
    encoded = text[: LONGEST + 1].encode("utf-8", "replace")
    if len(encoded) <= LONGEST:
        return encoded.decode("utf-8")
    return encoded[:LONGEST].decode("utf-8", "ignore") + "...TRUNCATED"
