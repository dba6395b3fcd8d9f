"""How much one request, and all under way together, may ask for."""

from dataclasses import dataclass

from serving.refusal import Refused


@dataclass(frozen=True)
class Limits:
    """Each is a flag of the server; beyond it a request is RESOURCE_EXHAUSTED."""

    max_request_bytes: int = 64 * 2**20  # of the message, unpacked; gRPC itself refuses a larger one
    max_tensor_bytes: int = 256 * 2**20  # of the tensors that the message stands for
    max_rows: int = 100_000  # of a tensor of strings
    max_bytes_under_way: int = 2**30  # messages and tensors of all requests at once

    def check(self, layouts):
        """Returns the bytes that tensors will take.

        Args:
            layouts: {name: `tensors.Layout`}.

        Raises:
            Refused: They are more than one request may have.
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
