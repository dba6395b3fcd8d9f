"""The shutdown of a server: accepted requests are answered, later ones are UNAVAILABLE."""

import threading
import time
from collections import Counter

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from serving.messages import PREDICT
from tests.conftest import Server
from tests.serving.harm import method, request, texts


@pytest.fixture(scope="module")
def start(odd):
    """Returns a function that starts a server."""
    servers = []

    def start():
        servers.append(Server("--model_name=odd", f"--model_base_path={odd}", "--grpc_max_threads=4"))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()


@pytest.fixture(scope="module")
def server(start):
    """A server that the last test ends."""
    return start()


@pytest.fixture(scope="module")
def small(odd):
    """A server that runs one request at a time, and has few under way."""
    server = Server(
        "--model_name=odd", f"--model_base_path={odd}", "--grpc_max_threads=1", "--max_requests_under_way=50"
    )
    yield server
    assert server.stop() == 0, server.log


def code_of_cancelled(call):
    return "CANCELLED" if call.cancelled() else code(call)


def code(future):
    error = future.exception()
    return error.code().name if error else "OK"


def test_a_load_of_requests(start):
    """Hundreds in progress over several channels and in gRPC's queues, and more that arrive during the shutdown."""
    server = start()
    separate = [("grpc.use_local_subchannel_pool", 1)]  # connections
    channels = [grpc.insecure_channel(server.address, options=separate) for _ in range(6)]
    methods = [method(channel) for channel in channels]
    slow = request("odd", {"text": texts(*[b"a"] * 5)}, "slow")  # some ten milliseconds
    for predict in methods:
        predict(slow, timeout=30)
    accepted = [methods[i % 6].future(slow, timeout=60) for i in range(300)]
    health = health_pb2_grpc.HealthStub(channels[0])
    time.sleep(0.3)
    server.process.terminate()
    late, states = [], set()
    while server.process.poll() is None:
        late.append(methods[len(late) % 6].future(slow, timeout=60))
        try:
            states.add(health.Check(health_pb2.HealthCheckRequest(), timeout=5).status)
        except grpc.RpcError:  # it has ended
            break
        time.sleep(0.01)
    assert server.stop() == 0
    assert Counter(map(code, accepted)) == {"OK": 300}
    codes = Counter(map(code, late))
    assert set(codes) <= {"OK", "UNAVAILABLE"} and codes["UNAVAILABLE"] > 10, codes
    assert health_pb2.HealthCheckResponse.NOT_SERVING in states
    for channel in channels:
        channel.close()


def test_more_than_a_thousand_at_once(server):
    """By default, gRPC would cancel some of them at random."""
    with grpc.insecure_channel(server.address) as channel:
        quick = request("odd", {"text": texts(b"a")}, "same")
        calls = [method(channel).future(quick, timeout=60) for _ in range(2500)]
        assert Counter(map(code, calls)) == {"OK": 2500}


def test_more_than_may_be_under_way(small):
    """Each is answered, or told at once to try again; and none is cancelled."""
    with grpc.insecure_channel(small.address) as channel:
        slow = request("odd", {"text": texts(*[b"a"] * 5)}, "slow")
        calls = [method(channel).future(slow, timeout=60) for _ in range(2000)]
        codes = Counter(map(code, calls))
        assert set(codes) == {"OK", "UNAVAILABLE"} and codes["OK"] >= 50, codes
        refused = next(call for call in calls if code(call) != "OK")
        assert refused.exception().details() == (
            "expected at most 50 requests under way (--max_requests_under_way), received one more; try again"
        )
        assert method(channel)(slow, timeout=60)


def test_cancelled_requests_keep_no_place(small):
    """200 requests of 0.2 s, cancelled while they wait for the one thread, and a good one: it used to wait for all."""
    with grpc.insecure_channel(small.address) as channel:
        slow = request("odd", {"text": texts(*[b"a"] * 100)}, "slow")
        long = request("odd", {"text": texts(*[b"a"] * 1000)}, "slow")  # holds the thread until all are cancelled
        running = method(channel).future(long, timeout=60)
        time.sleep(0.3)  # so that it runs, and the others wait
        for _ in range(4):
            waiting = [method(channel).future(slow, timeout=60) for _ in range(45)]
            time.sleep(0.2)
            for call in waiting:
                call.cancel()
            time.sleep(0.1)
        assert method(channel)(request("odd", {"text": texts(b"a")}, "same"), timeout=60)
        assert code(running) == "OK"
        assert {code_of_cancelled(call) for call in waiting} == {"CANCELLED"}


def test_health_and_status_while_every_thread_works(small):
    with grpc.insecure_channel(small.address) as channel:
        slow = method(channel).future(request("odd", {"text": texts(*[b"a"] * 1000)}, "slow"), timeout=60)
        time.sleep(0.3)  # so that it runs, and the others wait
        waiting = [method(channel).future(request("odd", {"text": texts(b"a")}, "same"), timeout=60) for _ in range(20)]
        time.sleep(0.3)
        status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "odd"})
        answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=60)
        assert answer.model_version_status[0].state == 30
        check = health_pb2_grpc.HealthStub(channel).Check
        assert check(health_pb2.HealthCheckRequest(service="odd"), timeout=60).status == 1
        assert not slow.done() and not any(call.done() for call in waiting)
        slow.cancel()
        assert {code(call) for call in waiting} == {"OK"}


def test_watching_the_health(server):
    """Any name can be watched; more calls than the limit are refused, and Check is still answered."""
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request_for = lambda name: health_pb2.HealthCheckRequest(service=name)
        watching = [health.Watch(request_for(f"name {i}")) for i in range(1000)]
        assert {next(states).status for states in watching} == {health_pb2.HealthCheckResponse.SERVICE_UNKNOWN}
        with pytest.raises(grpc.RpcError) as caught:
            next(health.Watch(request_for("odd")))
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"
        assert health.Check(request_for("odd"), timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        for states in watching:
            states.cancel()
        deadline = time.monotonic() + 10
        while True:
            try:
                assert next(health.Watch(request_for("odd"))).status == health_pb2.HealthCheckResponse.SERVING
                break
            except grpc.RpcError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_stalled_calls_and_watchers_do_not_delay_the_shutdown(server):
    never = threading.Event()

    def nothing():
        never.wait()
        yield b""

    with grpc.insecure_channel(server.address) as channel:
        calls = [channel.stream_unary(PREDICT).future(nothing()) for _ in range(20)]
        states = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="odd"))
        assert next(states).status == health_pb2.HealthCheckResponse.SERVING
        began = time.monotonic()
        server.process.terminate()
        assert next(states).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.stop() == 0 and time.monotonic() - began < 10
        never.set()
        assert {code(call) for call in calls} <= {"UNAVAILABLE", "CANCELLED"}
