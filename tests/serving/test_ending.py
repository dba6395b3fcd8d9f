"""The end of a server: what it has taken is answered, what comes later is UNAVAILABLE, nothing is anything else."""

import threading
import time
from collections import Counter

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.messages import PREDICT
from tests.conftest import Server
from tests.serving.harm import method, request, save_odd_model, texts


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "odd"
    save_odd_model(folder / "1")
    return folder


@pytest.fixture
def server(odd):
    server = Server("--model_name=odd", f"--model_base_path={odd}", "--grpc_max_threads=4")
    yield server
    server.process.kill()


def code(future):
    error = future.exception()
    return error.code().name if error else "OK"


def test_a_load_of_requests(server):
    """Hundreds under way over several channels, in gRPC's own queues, too, and more that come while it ends."""
    own = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(server.address, options=own) for _ in range(6)]
    methods = [method(channel) for channel in channels]
    slow = request("odd", {"text": texts(*[b"a"] * 5)}, "slow")  # some ten milliseconds
    for one in methods:
        one(slow, timeout=30)
    before = [methods[i % 6].future(slow, timeout=60) for i in range(300)]
    health = health_pb2_grpc.HealthStub(channels[0])
    time.sleep(0.3)
    server.process.terminate()
    after, states = [], set()
    while server.process.poll() is None:
        after.append(methods[len(after) % 6].future(slow, timeout=60))
        try:
            states.add(health.Check(health_pb2.HealthCheckRequest(), timeout=5).status)
        except grpc.RpcError:  # it has ended
            break
        time.sleep(0.01)
    assert server.stop() == 0
    assert Counter(map(code, before)) == {"OK": 300}
    later = Counter(map(code, after))
    assert set(later) <= {"OK", "UNAVAILABLE"} and later["UNAVAILABLE"] > 10, later
    assert health_pb2.HealthCheckResponse.NOT_SERVING in states
    for channel in channels:
        channel.close()


def test_more_than_a_thousand_at_once(server):
    """From there on gRPC would cancel some by chance."""
    with grpc.insecure_channel(server.address) as channel:
        quick = request("odd", {"text": texts(b"a")}, "same")
        assert Counter(code(one) for one in [method(channel).future(quick, timeout=60) for _ in range(2500)]) == {
            "OK": 2500
        }


def test_what_holds_up_no_end(server):
    """A call whose message does not come, and those who watch the health."""
    never = threading.Event()

    def nothing():
        never.wait()
        yield b""

    with grpc.insecure_channel(server.address) as channel:
        calls = [channel.stream_unary(PREDICT).future(nothing()) for _ in range(20)]
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="odd"))
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        began = time.monotonic()
        server.process.terminate()
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.stop() == 0 and time.monotonic() - began < 10
        never.set()
        assert {code(call) for call in calls} <= {"UNAVAILABLE", "CANCELLED"}


def test_watching_the_health(server):
    """Names that nobody serves are not kept; more calls than threads are refused, and Check goes on."""
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        ask = lambda name: health_pb2.HealthCheckRequest(service=name)
        watching = [health.Watch(ask(f"name {i}")) for i in range(64)]
        assert {next(one).status for one in watching} == {health_pb2.HealthCheckResponse.SERVICE_UNKNOWN}
        with pytest.raises(grpc.RpcError) as caught:
            next(health.Watch(ask("odd")))
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"
        assert health.Check(ask("odd"), timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        for one in watching:
            one.cancel()
        ends = time.monotonic() + 10
        while True:
            try:
                assert next(health.Watch(ask("odd"))).status == health_pb2.HealthCheckResponse.SERVING
                break
            except grpc.RpcError:
                assert time.monotonic() < ends
                time.sleep(0.05)
