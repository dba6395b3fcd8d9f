"""Limits of one request, and of all requests in progress together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.server.refusal import Refused

if TYPE_CHECKING:  # flags are parsed, and mistakes in them reported, before NumPy is imported
    from serving.tensors import Layout


@dataclass(frozen=True)
class Limits:
    """Each field is a flag of the server; a request beyond it is RESOURCE_EXHAUSTED, or UNAVAILABLE for those of all requests."""

    max_request_bytes: int = 64 * 2**20  # of the message, decompressed; gRPC itself refuses a larger one
    max_tensor_bytes: int = 256 * 2**20  # of the tensors that the message describes
    max_rows: int = 100_000  # of a string tensor
    max_bytes_under_way: int = 2**30  # messages and tensors of all requests in progress
    max_requests_under_way: int = 10_000  # running, waiting for their turn, or for their message

    def check(self, layouts: Mapping[str, "Layout"]) -> int:
        """Returns the bytes that the tensors {name: layout} of one request will take.

        Raises:
            Refused: They exceed a limit.
        """
        total = 0
        for name, layout in layouts.items():
            if layout.rows > self.max_rows:
                raise Refused(
                    "RESOURCE_EXHAUSTED",
                    f"input {name}: expected at most {self.max_rows} rows of strings (--max_rows), received {layout.rows}",
                )
            total += layout.bytes
        if total > self.max_tensor_bytes:
            raise Refused(
                "RESOURCE_EXHAUSTED",
                f"expected inputs of at most {self.max_tensor_bytes} bytes (--max_tensor_bytes), received shapes of {total}",
            )
        return total
