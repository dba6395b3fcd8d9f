"""Requests without a pause from several threads, each over its own connection, and what became of each."""

import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np

from serving import tensors
from serving.messages import PREDICT, PredictRequest, PredictResponse


class Load:
    """Sends one request again and again until `stop`, with no retries; every answer must be the first one.

    Args:
        address: Of the server.
        model: On the server.
        inputs: {name: array}.
        clients: Threads.
    """

    def __init__(self, address: str, model: str, inputs: dict[str, np.ndarray], clients: int) -> None:
        request = PredictRequest()
        request.model_spec.name = model
        for name, value in inputs.items():
            tensors.fill(request.inputs[name], value)
        self._data, self._address = request.SerializeToString(), address
        self.sent = 0
        self.results: list[tuple[float, str]] = []  # (when it was sent, what became of it), of those that failed
        self._done, self._lock = threading.Event(), threading.Lock()
        self.first = self._outputs(self._channel().unary_unary(PREDICT)(self._data, timeout=60))
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _channel(self):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        return grpc.insecure_channel(self._address, options=options)

    def _outputs(self, data):
        outputs = PredictResponse.FromString(data).outputs
        return {name: np.round(value, 4).tolist() if value.dtype.kind == "f" else value.tolist() for name, value in
                ((name, tensors.to_array(proto)) for name, proto in sorted(outputs.items()))}  # fmt: skip

    def _send(self):
        with self._channel() as channel:
            predict = channel.unary_unary(PREDICT)
            while not self._done.is_set():
                began = time.monotonic()
                try:
                    result = "OK" if self._outputs(predict(self._data, timeout=60)) == self.first else "another answer"
                except grpc.RpcError as error:
                    details = " ".join((error.details() or "").split())
                    result = f"{error.code().name}: {details.partition('; last error')[0][:80]}"
                with self._lock:
                    self.sent += 1
                    if result != "OK":
                        self.results.append((began, result))
                if result != "OK":
                    time.sleep(0.01)

    def stop(self) -> None:
        """Returns when every request has its result."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def failed(self, before: float = float("inf")) -> Counter[str]:
        """Returns {result: how many} of the requests that were sent before that moment, and failed."""
        with self._lock:
            return Counter(result for began, result in self.results if began < before)


def memory(pid: int) -> int:
    """Returns the resident memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
