"""Profiles of a running server, asked for with TensorFlow's own client."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from tensorflow.python.profiler import profiler_client

from serving.server.observation.profiler import _classes
from tests.serving.harm import method, request, texts


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


def call(channel, name, **fields):
    """Calls a method of the service; returns its answer."""
    unary = channel.unary_unary(
        f"/tensorflow.ProfilerService/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=_classes[f"{name}Response"].FromString,
    )
    return unary(_classes[f"{name}Request"](**fields), timeout=30)


def test_tensorflows_client(server, channel, tmp_path):
    done = threading.Event()

    def ask():
        while not done.is_set():
            method(channel)(request("sentiment", {"text": texts(b"a good film")}), timeout=10)

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        profiler_client.trace(server.address, str(tmp_path), 300, "", 3)
        done.set()
        asking.result()
    files = list(tmp_path.rglob("*.xplane.pb"))
    assert len(files) == 1 and files[0].parts[-4:-2] == ("plugins", "profile") and b"Executor" in files[0].read_bytes()


def test_a_profile_ends_when_it_is_told_to(channel, tmp_path):
    arguments = {"duration_ms": 20_000, "repository_root": str(tmp_path), "session_id": "one", "host_name": "here:1"}
    with ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        profile = threads.submit(call, channel, "Profile", **arguments)
        while not profile.done():
            call(channel, "Terminate", session_id="other")
            call(channel, "Terminate", session_id="one")
            time.sleep(0.1)
        assert not profile.result().xspace and time.monotonic() - began < 10
    assert (tmp_path / "one" / "here_1.xplane.pb").stat().st_size
    assert call(channel, "Profile", duration_ms=10, emit_xspace=True).xspace


def test_refusals(channel, tmp_path):
    (tmp_path / "file").touch()
    for name, fields, code, text in (
        ("Monitor", {}, "UNIMPLEMENTED", "unimplemented."),
        ("Profile", {"duration_ms": 1}, "INVALID_ARGUMENT", "expected a repository_root"),
        (
            "Profile",
            {"duration_ms": 10**7, "repository_root": "/"},
            "INVALID_ARGUMENT",
            "at most 600000, received 10000000",
        ),
        (
            "Profile",
            {"duration_ms": 1, "repository_root": f"{tmp_path}/file"},
            "INTERNAL",
            "the profile cannot be written",
        ),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, name, **fields)
        assert caught.value.code().name == code and text in caught.value.details(), caught.value.details()
