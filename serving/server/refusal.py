"""The error of a request that cannot be answered."""

MAX_MESSAGE_BYTES = 1024  # as in TensorFlow Serving


class Refused(Exception):
    """A request that cannot be answered.

    Args:
        code: Name of a gRPC status code.
        message: TensorFlow Serving's message, where it has one.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def cut(text: str) -> str:
    """Returns a text that fits a gRPC status: without lone surrogates, and of bounded size."""
    encoded = text[: MAX_MESSAGE_BYTES + 1].encode("utf-8", "replace")
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return encoded.decode("utf-8")
    return encoded[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore") + "...TRUNCATED"
