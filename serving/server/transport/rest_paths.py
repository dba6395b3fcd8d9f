"""Which model and what of it the path of a request over HTTP asks for."""

import re
from urllib.parse import unquote

from google.protobuf.message import Message
from tensorflow_serving.apis import model_pb2

from serving.server.requests.checks import invalid

INFER = re.compile(
    r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
STATUS = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?(?:/(metadata))?", re.IGNORECASE | re.ASCII
)
NEVER = re.compile(r"(?!)()()()()")


def parse(method: str, path: str) -> tuple[str, Message]:
    """Returns (`predict`, `classify`, `regress`, `metadata` or `status`, `ModelSpec`) of a request.

    Raises:
        Refused: With TensorFlow Serving's message.
    """
    match = {"POST": INFER, "GET": STATUS}.get(method, NEVER).fullmatch(path)
    if not match:
        raise invalid(f"Malformed request: {method} {path}")
    name, version, label, api = match.groups()
    spec = model_pb2.ModelSpec(name=unquote(name or "", errors="replace"))
    if version:
        if len(version.lstrip("0")) > 19 or int(version) >= 2**63:
            raise invalid(f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(version)
    if label:
        spec.version_label = unquote(label, errors="replace")
    if not spec.name:
        raise invalid("Missing model name in request.")
    return (api or "status").lower(), spec
