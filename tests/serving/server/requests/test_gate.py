"""Admission without a transport: places, the queue, what has gone, memory, threads."""

import time

import pytest

from serving.server.refusal import Refused
from serving.server.requests.gate import Gate
from serving.server.requests.limits import Limits
from serving.server.requests.request import LARGE, Request


def gate(running=1, **limits):
    return Gate(running, Limits(**limits))


def opened(gate, deadline=float("inf")):
    request = Request(gate, deadline)
    gate.open(request)
    gate.received(request)
    return request


def test_one_runs_and_the_others_wait_in_order():
    place = gate()
    first, second, third = (opened(place) for _ in range(3))
    assert [place.enter(request) for request in (first, second, third)] == [True, False, False]
    assert [place.leave(), place.leave(), place.leave()] == [second, third, None]
    assert place.enter(first)


def test_what_has_gone_is_dropped_from_the_queue():
    place = gate(max_bytes_under_way=3 * LARGE)
    running, *waiting = (opened(place) for _ in range(5000))
    place.enter(running)
    for request in waiting:
        assert not place.enter(request)
    waiting[7].arrived(b"a" * 3 * LARGE)
    with pytest.raises(Refused, match="max_bytes_under_way"):
        running.arrived(b"a" * 2 * LARGE)
    assert all(place.drop(request) for request in waiting if request is not waiting[9])
    running.arrived(b"a" * 2 * LARGE)  # their memory is free
    assert len(place._queue) < 2500
    assert [place.leave(), place.leave()] == [waiting[9], None]
    assert not place.drop(running) and running.gone  # it has begun, and ends by itself


def test_nobody_waits_for_the_answer():
    place = gate()
    with pytest.raises(Refused, match="Timed out waiting for notification"):
        opened(place, deadline=time.time() - 1).require()
    request = opened(place)
    request.require()
    place.drop(request)
    with pytest.raises(Refused, match="the client has gone"):
        request.require()


def test_requests_under_way():
    place = gate(max_requests_under_way=2)
    first, _second = opened(place), opened(place)
    with pytest.raises(Refused, match="at most 2 requests under way"):
        opened(place)
    place.open(Request(place, 0), always=True)  # a health check
    place.close(first)
    with pytest.raises(Refused):
        opened(place)  # the health check counts
    place.open(Request(place, 0), always=True)
    place.open(Request(place, 0), always=True)
    with pytest.raises(Refused):
        place.open(Request(place, 0), always=True)


def test_one_thread_is_left_for_what_comes():
    place, started = gate(running=4), []
    place.start_thread = lambda: started.append(1)
    requests = [opened(place) for _ in range(6)]
    assert [place.enter(request) for request in requests] == [True] * 4 + [False] * 2
    assert len(started) == 3  # beside the first two: one waits for events


def test_no_more_threads():
    """Requests wait for those that there are."""
    place = gate(running=4)

    def fail():
        raise RuntimeError("can't start new thread")

    place.start_thread = fail
    requests = [opened(place) for _ in range(3)]
    assert [place.enter(request) for request in requests] == [True, False, False]
    assert [place.leave(), place.leave(), place.leave()] == [*requests[1:], None]


def test_the_end_waits_for_what_was_accepted():
    place = gate()
    request = opened(place)
    began = time.monotonic()
    place.end(0.2)
    assert time.monotonic() - began > 1  # it waited
    with pytest.raises(Refused, match="the server is ending"):
        opened(place)
    place.open(Request(place, 0), always=True)  # a health check, which is not waited for
    place.close(request)
    began = time.monotonic()
    place.end(60)
    assert time.monotonic() - began < 30
