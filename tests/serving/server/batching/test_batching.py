"""Requests that run as one batch: equal to single runs, apart where they cannot be merged, refused as in TensorFlow Serving."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from serving.messages import PREDICT, PredictRequest, PredictResponse
from serving.server.batching import arrays
from serving.server.batching.parameters import Invalid, Parameters, parameters_of
from serving.server.batching.queue import PAST_DEADLINE, BatchQueue
from serving.server.batching.scheduler import Scheduler
from serving.server.configuration.protos import BatchingParameters
from serving.server.models.servable import Servable
from serving.server.observation import metrics, prometheus
from serving.server.refusal import Refused
from serving.server.requests.jobs import follow, job_of, once, throw
from serving.tensors import fill
from tests.conftest import Server, wait_for


class Waiter:
    """Somebody who waits for an answer."""

    def __init__(self, error=None):
        self.error = error

    def require(self):
        if self.error:
            raise self.error


def save_vectors(folder):
    """Writes signatures of float vectors: one that can be batched, and several that must not be, each in its own way."""
    module = tf.Module()
    weights = tf.constant(np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32))
    vectors = tf.TensorSpec([None, 4], tf.float32, name="x")
    ids, mask = (tf.TensorSpec([None, None], tf.int32, name=name) for name in ("ids", "mask"))

    def masked(ids, mask):
        weight = tf.cast(mask, tf.float32)
        values = tf.cast(ids, tf.float32) * weight
        return {
            "mean": tf.reduce_sum(values, 1) / tf.maximum(tf.reduce_sum(weight, 1), 1.0),
            "tokens": values * 2,
            "fixed": tf.tile(tf.reduce_max(values, 1, keepdims=True), [1, tf.size(weights) // 3]),
        }

    functions = {
        "multiply": ((lambda x: {"y": x @ weights, "z": tf.strings.as_string(x[:, 0])}), [vectors]),
        "mixes": ((lambda x: {"y": x - tf.reduce_mean(x, 0)}), [vectors]),
        "whole": ((lambda x: {"y": x, "total": tf.reduce_sum(x)}), [vectors]),
        "longer": ((lambda x: {"y": tf.concat([x, x], 0)}), [vectors]),
        "picks": (
            (lambda i: {"y": tf.gather(tf.constant([1.0, 2.0, 3.0]), i)}),
            [tf.TensorSpec([None], tf.int32, name="i")],
        ),
        "masked": (masked, [ids, mask]),
        "averages": ((lambda ids: {"y": tf.reduce_mean(tf.cast(ids, tf.float32), 1)}), [ids]),
    }
    signatures = {}
    for name, (function, spec) in functions.items():
        traced = tf.function(function, input_signature=spec)
        setattr(module, name, traced)
        signatures[name] = traced.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    return Servable(save_vectors(tmp_path_factory.mktemp("vectors") / "1"))


@pytest.fixture
def batched(vectors):
    """Returns a function that makes a queue with those parameters, and the sizes of the batches that ran since."""
    sizes, lines = [], []
    original = vectors.run_together

    def counting(inputs, requested):
        sizes.append(len(next(iter(inputs.values()))))
        return original(inputs, requested)

    def make(threads=1, **parameters):
        vectors.run_together = counting
        queue = BatchQueue(vectors, Parameters(**parameters), Scheduler(threads), lines.append)
        lines.clear()
        return queue, sizes, lines

    yield make
    vectors.run_together, vectors.queue = original, None


def answers(queue, servable, signature, requests, waiter=None):
    """Puts requests that all wait before the first batch runs; returns their outputs, or the errors."""
    ended, results = threading.Semaphore(0), [None] * len(requests)

    def take(i, outputs):
        try:
            (results[i],) = outputs()
        except Refused as refusal:
            results[i] = refusal
        ended.release()

    outputs = sorted(servable.signatures[signature].outputs)
    with queue._scheduler.changed:
        for i, inputs in enumerate(requests):
            job = job_of(servable, inputs, [(signature, outputs)])
            try:
                if not queue.put(job, waiter or Waiter(), partial(take, i)):
                    take(i, job.run)
            except Refused as refusal:
                results[i] = refusal
                ended.release()
    for _ in requests:
        assert ended.acquire(timeout=30)
    return results


def same(results, servable, signature, requests):
    for inputs, result in zip(requests, results, strict=True):
        expected = servable.predict(signature, inputs)
        assert set(result) == set(expected)
        for name, value in expected.items():
            assert result[name].shape == value.shape and result[name].dtype == value.dtype
            if value.dtype == object:
                assert list(result[name]) == list(value)
            else:
                np.testing.assert_allclose(result[name], value, rtol=1e-5, atol=1e-6)


def random_vectors(count, rows=(1, 2, 3)):
    random = np.random.default_rng(0)
    return [{"x": random.normal(size=(rows[i % len(rows)], 4)).astype(np.float32)} for i in range(count)]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"rows": 4, "most": 4},
        {"rows": 8, "most": 8, "sizes": (2, 8)},
        {"rows": 2, "split": True},
        {"timeout": 0.05},
    ],
    ids=str,
)
def test_batched_is_single(batched, vectors, parameters):
    queue, sizes, lines = batched(threads=2, **parameters)
    requests = random_vectors(60)
    results = []
    counted = metrics.WRAPPED_RUN_COUNT.first()
    for start in range(0, 60, 6):  # more batches than are on trial
        results += answers(queue, vectors, "multiply", requests[start : start + 6])
    assert lines == []
    same(results, vectors, "multiply", requests)
    assert max(sizes) > 1 and max(sizes) <= parameters.get("rows", 1000)
    if "sizes" in parameters:
        assert {2, 8} & set(sizes)
    assert not queue._groups and not queue._waiting
    page = prometheus.page().decode()
    assert counted < metrics.WRAPPED_RUN_COUNT.first() <= counted + len(sizes)
    assert (
        ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="model_server_batch_threads"}'
        in page
    )
    assert ":tensorflow:serving:batching_session:processed_batch_size_bucket" in page


def test_other_shapes_are_other_batches(batched, vectors):
    queue, _, lines = batched()
    requests = [
        {"ids": np.full((2, 1 + i % 3), i, np.int32), "mask": np.ones((2, 1 + i % 3), np.int32)} for i in range(9)
    ]
    for _ in range(10):
        same(answers(queue, vectors, "masked", requests), vectors, "masked", requests)
    assert lines == []


@pytest.mark.parametrize("signature", ["mixes", "whole", "longer"])
def test_models_that_no_batch_fits(batched, vectors, signature):
    queue, _, lines = batched()
    requests = random_vectors(6)
    for _ in range(3):
        same(answers(queue, vectors, signature, requests), vectors, signature, requests)
    expected = (
        [] if signature == "whole" else [f"signature {signature}: a batch changes its answers; its requests run apart"]
    )
    assert lines == expected


def test_one_bad_request_fails_alone(batched, vectors):
    queue, sizes, _ = batched()
    requests = [{"i": np.array([i % 3], np.int32)} for i in range(32)]
    requests[13] = {"i": np.array([7], np.int32)}
    results = answers(queue, vectors, "picks", requests)
    assert isinstance(results[13], Refused) and results[13].code == "INVALID_ARGUMENT"
    assert "indices[0] = 7 is not in [0, 3)" in results[13].message
    del requests[13], results[13]
    same(results, vectors, "picks", requests)
    assert len(sizes) < 32


def test_padding(batched, vectors):
    """Zeros behind; taken off the outputs again; not at all where it changes an answer."""
    queue, sizes, lines = batched(pad=True)
    random = np.random.default_rng(1)
    for _ in range(12):
        lengths = [int(length) for length in random.integers(1, 9, 6)]
        requests = [
            {"ids": random.integers(1, 9, (2, n)).astype(np.int32), "mask": np.ones((2, n), np.int32)} for n in lengths
        ]
        sizes.clear()
        same(answers(queue, vectors, "masked", requests), vectors, "masked", requests)
        assert 12 in sizes
    assert lines == []
    for _ in range(3):
        requests = [{"ids": np.full((1, n), n, np.int32)} for n in (1, 2, 3, 3)]
        same(answers(queue, vectors, "averages", requests), vectors, "averages", requests)
    assert lines == ["signature averages: padding changes its answers; its requests of unequal lengths run apart"]
    requests = [{"ids": np.full((1, 3), n, np.int32)} for n in range(4)]
    sizes.clear()
    same(answers(queue, vectors, "averages", requests), vectors, "averages", requests)
    assert 4 in sizes  # equal lengths are still merged


def test_refused(batched, vectors):
    queue, _, _ = batched(rows=2, most=2, batches=2)
    (result,) = answers(queue, vectors, "multiply", [{"x": np.zeros((3, 4), np.float32)}])
    assert (result.code, result.message) == (
        "INVALID_ARGUMENT",
        "Task size 3 is larger than maximum input batch size 2",
    )
    results = answers(queue, vectors, "multiply", random_vectors(6, rows=(1,)))
    full = [result for result in results if isinstance(result, Refused)]
    assert len(full) == 2 and {result.code for result in full} == {"UNAVAILABLE"}
    assert full[0].message == (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2"
    )
    queue, _, _ = batched(rows=2, most=5, batches=2, split=True)
    *_, last = answers(queue, vectors, "multiply", random_vectors(2, rows=(3,)))
    assert last.code == "UNAVAILABLE" and last.message.endswith(
        "is full; task size is 3 but scheduling capacity is only 1 (num_enqueued_batches=2, max_enqueued_batches=2, "
        "open_batch_size=1, max_execution_batch_size=2)"
    )
    late = Waiter(Refused("DEADLINE_EXCEEDED", "Timed out waiting for notification"))
    (result,) = answers(queue, vectors, "multiply", random_vectors(1), late)
    assert (result.code, result.message) == PAST_DEADLINE
    gone = Waiter(Refused("CANCELLED", "the client has gone"))
    (result,) = answers(queue, vectors, "multiply", random_vectors(1), gone)
    assert result.code == "CANCELLED"


def test_a_timeout_waits_for_company(batched, vectors):
    queue, sizes, _ = batched(threads=2, timeout=0.3, rows=2, most=2)
    began = time.monotonic()
    answers(queue, vectors, "multiply", random_vectors(1, rows=(1,)))
    assert time.monotonic() - began > 0.25
    began = time.monotonic()
    answers(queue, vectors, "multiply", random_vectors(2, rows=(1,)))
    assert time.monotonic() - began < 0.25 and 2 in sizes


def test_nobody_waits_for_company_at_the_end(batched, vectors):
    queue, sizes, _ = batched(timeout=60)
    ended = threading.Semaphore(0)
    (inputs,) = random_vectors(1)
    began = time.monotonic()
    for _ in range(2):  # one that waits, and one that comes later
        assert queue.put(job_of(vectors, inputs, [("multiply", ["y"])]), Waiter(), lambda outputs: ended.release())
        time.sleep(0.1)
        queue._scheduler.hurry()
        assert ended.acquire(timeout=10)
    assert time.monotonic() - began < 10 and len(sizes) == 2


def test_a_single_request_that_is_filled_up_is_compared(batched, vectors):
    queue, sizes, lines = batched(rows=8, most=8, sizes=(2, 8))
    requests = random_vectors(1, rows=(3,))
    same(answers(queue, vectors, "mixes", requests), vectors, "mixes", requests)
    assert 8 in sizes and lines == ["signature mixes: a batch changes its answers; its requests run apart"]


def test_single_requests_are_batches_too(batched, vectors):
    queue, _, _ = batched()
    counted = metrics.WRAPPED_RUN_COUNT.first()
    answers(queue, vectors, "multiply", random_vectors(1))
    assert metrics.WRAPPED_RUN_COUNT.first() == counted + 1


def test_an_answer_whatever_happens(batched, vectors, monkeypatch, capsys):
    """Without memory for the comparison the requests run apart; after a defect they end with its error."""
    queue, _, _ = batched()
    monkeypatch.setattr(arrays, "same", lambda *values: throw(MemoryError()))
    requests = random_vectors(4)
    same(answers(queue, vectors, "multiply", requests), vectors, "multiply", requests)
    monkeypatch.setattr(queue, "_run", lambda tasks: throw(KeyError("defect")))
    errors = []
    with queue._scheduler.changed:
        for inputs in requests:
            queue.put(job_of(vectors, inputs, [("multiply", ["y"])]), Waiter(), errors.append)
    wait_for(lambda: len(errors) == 4)
    for error in errors:
        with pytest.raises(KeyError):
            error()
    assert "defect" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [0, 1])
def test_no_more_threads(batched, vectors, monkeypatch, threads):
    """A request is refused if nothing could run it, else waits; it is answered once."""
    queue, _, _ = batched(threads=4)
    (inputs,) = random_vectors(1)
    finished = []
    steps = lambda: once(job_of(vectors, inputs, [("multiply", ["y"])]))
    for _ in range(threads):
        follow(steps(), Waiter(), finished.append)
    wait_for(lambda: len(finished) == threads)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: throw(RuntimeError("can't start new thread")))
        for _ in range(4):
            follow(steps(), Waiter(), finished.append)
    follow(steps(), Waiter(), finished.append)
    wait_for(lambda: len(finished) == threads + 5)
    time.sleep(0.2)
    assert len(finished) == threads + 5 and not queue._waiting
    for answer in finished[threads : threads + 4 * (not threads)]:
        with pytest.raises(Refused, match="no thread can be started"):
            answer()
    assert finished[-1]()


INVALID = {
    "max_batch_size { value: 0 }": "max_batch_size must be positive; was 0",
    "batch_timeout_micros { value: -1 }": "batch_timeout_micros must be non-negative; was -1",
    "max_enqueued_batches { value: 0 }": "max_enqueued_batches must be positive; was 0",
    "num_batch_threads { value: -2 }": "num_batch_threads must be positive; was -2",
    "allowed_batch_sizes: [4, 2]": "increasing order; were [4, 2]",
    "max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]": "last entry was 4; expected 8",
    "allowed_batch_sizes: [2]": "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; expected 1000",
    "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } max_execution_batch_size { value: 9 }": "1 to max_batch_size, which is 8; was 9",
}  # fmt: skip


@pytest.mark.parametrize("text", INVALID)
def test_parameters_that_cannot_be(text):
    with pytest.raises(Invalid) as caught:
        parameters_of(text_format.Parse(text, BatchingParameters()))
    assert INVALID[text] in str(caught.value)


def test_defaults():
    assert parameters_of(BatchingParameters()) == Parameters(1000, 1000, 0.0, 10, (), False, False)


def test_an_export_under_threads(export_folder, tmp_path):
    """The answers of many clients at once are those of one, through the server with a file of parameters."""
    file = tmp_path / "batching"
    file.write_text("max_batch_size { value: 16 } max_enqueued_batches { value: 100 } num_batch_threads { value: 1 }")
    flags = ["--model_name=sentiment", f"--model_base_path={export_folder}", "--enable_batching"]
    server = Server(*flags, f"--batching_parameters_file={file}")
    words = ["good", "bad", "film", "very", "中", "a"]
    texts = [" ".join(words[(i + j) % 6] for j in range(1 + i % 9)) for i in range(96)]

    def data(text):
        request = PredictRequest()
        request.model_spec.name = "sentiment"
        fill(request.inputs["text"], [text])
        return request.SerializeToString()

    with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(32) as pool:
        method = channel.unary_unary(PREDICT, response_deserializer=PredictResponse.FromString)
        alone = [method(data(text), timeout=30) for text in texts]
        together = list(pool.map(lambda text: method(data(text), timeout=30), texts))
    for one, other in zip(alone, together, strict=True):
        assert one.outputs["label"] == other.outputs["label"] and one.model_spec == other.model_spec
        probabilities = [list(answer.outputs["probabilities"].float_val) for answer in (one, other)]
        np.testing.assert_allclose(*probabilities, atol=1e-5)
    assert server.stop() == 0, server.log
