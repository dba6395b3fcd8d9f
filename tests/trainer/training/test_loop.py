"""The loop: what comes out does not depend on what interrupted it; early stopping; the best weights.

Most tests here train a toy job, a dense layer with dropout on random vectors; those at the end go through the command.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load, load_file, save

from tests.bench import resume
from tests.conftest import ROOT, cli, stopped_at, write_bert_folder, write_examples
from trainer.errors import Failure, Interrupted, Mistake
from trainer.runs.folder import Folder
from trainer.training import loop, optim
from trainer.training.step import training_step


class Toy:
    """A job for the loop: a dense layer with dropout learns which of two clouds a vector [3] is from."""

    STEPS, EPOCHS = 11, 3

    def __init__(self, out, *, epochs=EPOCHS, scores=None, delay=0.0, overwrite=False, **work):
        keras.utils.set_random_seed(5)
        inputs = keras.Input([3])
        x = keras.layers.Dropout(0.3, seed=5, name="dropout")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2, name="dense")(x))
        schedule = optim.Schedule(0.05, 3, self.STEPS * epochs)
        optimizer = optim.optimizer(model.trainable_variables, schedule, weight_decay=0.01)
        self.folder = Folder(out, {"epochs": epochs}, {}, overwrite=overwrite)
        self.given = scores  # of each epoch; None: how many it gets right
        self.weights = []  # after each epoch
        self.work = loop.Work(
            model=model,
            optimizer=optimizer,
            steps=self.STEPS,
            epochs=epochs,
            batches=self.batches,
            step=self.step_of(model, optimizer, delay),
            to_bytes=lambda model: save({variable.path: np.array(variable) for variable in model.weights}),
            score=self.score,
            report=lambda: {"weights": self.weights[-1].hex()[-8:]},
            metric="accuracy",
        )
        self.work = replace(self.work, **work)

    @staticmethod
    def examples(seed):
        labels = np.arange(8) % 2
        vectors = np.random.default_rng(seed).normal(size=[8, 3]) + 2 * labels[:, None]
        return vectors.astype("float32"), labels.astype("int32")

    def batches(self, epoch, skip):
        for step in range(skip, self.STEPS):
            yield [self.examples([epoch, step])], 8

    @staticmethod
    def step_of(model, optimizer, delay):
        def loss(targets, logits):
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

        signature = [tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)]
        step = training_step(model, loss, optimizer, signature)
        return lambda batch: (time.sleep(delay), step(batch))[1]

    def score(self, tick):
        tick()
        self.weights.append(self.work.to_bytes(self.work.model))
        vectors, labels = self.examples(0)
        accuracy = float(np.mean(np.argmax(self.work.model(vectors), axis=-1) == labels))
        return {"accuracy": self.given.pop(0) if self.given else accuracy}

    def run(self, **options):
        options = {"checkpoint_every": 60.0} | options
        begin = {"settings": {"lineage": {}}, "files": {"labels.txt": "a\nb\n"}}
        return loop.run(self.work, self.folder, **begin, decisions=["toy"], result={"task": "toy"}, **options)


def send_when(condition, number, times=1):
    """Sends this process a signal, or several, as soon as `condition` holds."""

    def watch():
        ends = time.monotonic() + 60
        while not condition():
            if time.monotonic() > ends:
                return
            time.sleep(0.001)
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.002)

    threading.Thread(target=watch, daemon=True).start()


@pytest.fixture
def interruptible():
    """What runs in a script's background ignores SIGINT, or SIGHUP, and so would the runs; a signal that comes when the run has
    ended already is nobody's."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.default_int_handler}
    handlers |= {signal.SIGTERM: lambda *_: None}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def same_files(run, undisturbed):
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (run / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_the_same_job_goes_on(tmp_path, capsys, number):
    undisturbed = Toy(tmp_path / "undisturbed", keep_best=True).run()
    out = tmp_path / "run"
    log = out / "metrics.jsonl"
    send_when(lambda: log.exists() and log.stat().st_size, number, times=5 if number == signal.SIGTERM else 1)
    with pytest.raises(Interrupted, match=r"stopped at step \d+ of 33, saved in .*the same command goes on") as stop:
        Toy(out, keep_best=True, delay=0.02).run()
    assert stop.value.status == 128 + number and not (out / "metrics.json").exists()
    config = json.loads((out / "config.json").read_text())
    config["lineage"]["environment"]["cores"] = 999
    (out / "config.json").write_text(json.dumps(config))
    result = Toy(out, keep_best=True).run(checkpoint_every=7.0)
    err = capsys.readouterr().err
    assert "resume    from step" in err and "begun with cores 999, here" in err
    assert result | {"seconds": 0} == undisturbed | {"seconds": 0} and len(result["digest"]) == 16
    same_files(out, tmp_path / "undisturbed")
    assert not (out / "checkpoint").exists()


@pytest.mark.parametrize("average", [0, 2])
def test_stopped_at_every_step_it_ends_as_if_it_had_not_been(average, tmp_path):
    """Saved and begun again after each step, and in between scores."""
    undisturbed = Toy(tmp_path / "undisturbed", epochs=2, average=average).run()
    for _ in range(100):
        toy = Toy(tmp_path / "run", epochs=2, average=average)
        step = toy.work.step
        toy.work = replace(
            toy.work, step=lambda batch, step=step: (os.kill(os.getpid(), signal.SIGTERM), step(batch))[1]
        )
        try:
            result = toy.run()
            break
        except Interrupted:
            continue
    assert result | {"seconds": 0} == undisturbed | {"seconds": 0}
    same_files(tmp_path / "run", tmp_path / "undisturbed")


def test_a_signal_while_scoring_goes_on_with_the_scoring(tmp_path, capsys):
    undisturbed = Toy(tmp_path / "undisturbed", epochs=1).run()
    toy = Toy(tmp_path / "run", epochs=1)
    score = toy.work.score
    toy.work = replace(toy.work, score=lambda tick: (os.kill(os.getpid(), signal.SIGTERM), score(tick))[1])
    capsys.readouterr()
    with pytest.raises(Interrupted, match="stopped at step 11 of 11"):
        toy.run()
    assert "dev accuracy" not in capsys.readouterr().err
    result = Toy(tmp_path / "run", epochs=1).run()
    err = capsys.readouterr().err
    assert "resume    from step 11 of 11" in err and "all steps made before" in err
    assert result["digest"] == undisturbed["digest"]


def test_the_mean_of_the_last_weights(tmp_path, capsys):
    toy = Toy(tmp_path / "run", average=2)
    result = toy.run()
    *epochs, mean = [load(content) for content in toy.weights]
    assert len(epochs) == 3 and (tmp_path / "run" / "model.safetensors").read_bytes() == toy.weights[-1]
    for name, values in mean.items():
        np.testing.assert_allclose(values, (epochs[1][name] + epochs[2][name]) / 2, atol=1e-7)
    assert (
        result["average"].keys() == {"accuracy"}
        and "of the last 2; the weights that are kept" in capsys.readouterr().err
    )
    with stopped_at(30), pytest.raises(Interrupted):
        Toy(tmp_path / "damaged", average=2).run()
    (tmp_path / "damaged" / "checkpoint" / "epoch-0002.safetensors").write_bytes(b"")
    with pytest.raises(Failure, match=r"epoch-0002\.safetensors: expected the weights of epoch 2, found another"):
        Toy(tmp_path / "damaged", average=2).run()


def test_early_stopping_and_the_best_weights(tmp_path, capsys):
    """Of equal epochs the first is the best; its weights are kept, or those of the last."""
    for keep_best in (True, False):
        scores = [0.5, 0.75, 0.75, 0.25, 0.7, 1.0]
        toy = Toy(tmp_path / f"{keep_best}", epochs=9, scores=scores, patience=3, keep_best=keep_best)
        result = toy.run()
        err = capsys.readouterr().err
        assert "stopped   after epoch 5 of 9: 3 without a better accuracy" in err
        assert f"epoch {2 if keep_best else 5}; the weights that are kept" in err
        assert (result["best"]["epoch"], result["final"]["epoch"], result["steps"]) == (2, 5, 55)
        kept = toy.weights[1 if keep_best else 4]
        assert result["report"] == {"weights": kept.hex()[-8:]} and len({w.hex()[-8:] for w in toy.weights}) == 5
        assert (toy.folder.out / "model.safetensors").read_bytes() == kept and len(set(toy.weights)) == 5


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    toy = Toy(tmp_path / "run")
    toy.work = replace(toy.work, step=lambda batch: {"loss": float("nan")})
    with pytest.raises(
        Mistake, match=r"the loss became nan at step 1, at learning rate .*; try a smaller --learning_rate"
    ):
        toy.run()


def test_a_dry_run_says_what_it_would_do(tmp_path, capsys):
    plan = Toy(tmp_path / "run").run(dry_run=True)
    assert plan["dry_run"] and plan["steps"] == 33 and plan["parameters"] == plan["trained_parameters"] == 8
    assert not (tmp_path / "run").exists() and "nothing was written" in capsys.readouterr().err


@pytest.fixture
def options(bert_folder, tmp_path):
    train, dev = write_examples(tmp_path / "train.txt", 44), write_examples(tmp_path / "dev.txt", 12, seed=1)
    options = {"train": train, "dev": dev, "init": bert_folder, "out": tmp_path / "run", "epochs": 2, "batch_size": 4}
    return options | {"max_length": 16, "learning_rate": 1e-3}


def finetune(capsys, options, *flags):
    return cli(capsys, "finetune", "sentiment", *[f"--{name}={value}" for name, value in options.items()], *flags)


# `python -m trainer`, which saves after every step and is killed in the middle of the save of one: half of the file is there.
KILLED = """
import os, signal, sys
from trainer import quiet
from trainer.__main__ import main
from trainer.training import loop

def flush(descriptor):
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if path.endswith("step-00000013.safetensors.part"):
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)

fsync, os.fsync, loop.SHARE = os.fsync, flush, float("inf")
main(sys.argv[1:])
"""


def test_a_killed_run_ends_as_one_that_was_not(options, capsys, tmp_path):
    """In a process of its own: SIGKILL while a checkpoint is written; `tests.bench.resume` kills at any moment."""
    killed = options | {"out": tmp_path / "killed", "checkpoint_every": 0}
    flags = ["finetune", "sentiment", *[f"--{name}={value}" for name, value in killed.items()]]
    process = subprocess.run([sys.executable, "-c", KILLED, *flags], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert sorted(path.name for path in (killed["out"] / "checkpoint").iterdir()) == [
        "step-00000012.safetensors",
        "step-00000013.safetensors.part",
    ]
    code, again, err = finetune(capsys, killed)
    assert code == 0 and "resume    from step 12 of 22" in err, err
    code, result, err = finetune(capsys, options)
    assert code == 0 and "resume" not in err, err
    assert resume.digests(killed["out"], json.loads(again)) == resume.digests(options["out"], json.loads(result))


def test_what_a_kill_leaves_at_the_start_is_no_obstacle(options, capsys):
    """Between the making of the folder and its first whole file."""
    del options["dev"]
    options |= {"epochs": 1}
    options["out"].mkdir()
    (options["out"] / "config.json.part").write_text('{"lineage": {"op')
    code, out, err = finetune(capsys, options)
    assert code == 0, err
    assert not list(options["out"].rglob("*.part")) and json.loads(out)["steps"] == 11


def test_overwrite_deletes_the_run_and_nothing_else(tmp_path):
    out = tmp_path / "run"
    Toy(out).run()
    files = [out / name for name in ("notes.txt", "film.part", "export/1/saved_model.pb")]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    longer = Toy(out, epochs=9, overwrite=True)
    step = longer.work.step
    longer.work = replace(longer.work, step=lambda batch: (os.kill(os.getpid(), signal.SIGTERM), step(batch))[1])
    with pytest.raises(
        Interrupted, match=r"stopped at step 1 of 99, .*; the same command without --overwrite goes on from"
    ):
        longer.run()
    assert not (out / "metrics.json").exists()
    assert Toy(out, epochs=9).run()["steps"] == 99
    assert all(path.read_text() == "mine" for path in files)


def test_paths_may_be_spelt_otherwise(options, capsys, monkeypatch, tmp_path):
    options |= {"epochs": 1}
    _, first, _ = finetune(capsys, options)
    monkeypatch.chdir(tmp_path)
    again = options | {"train": "train.txt", "dev": "./dev.txt", "out": "run"}
    assert finetune(capsys, again, "--labels", "negative", "positive")[:2] == (0, first)


def test_changed_data_are_another_run(options, capsys):
    del options["dev"]
    options |= {"epochs": 1}
    assert finetune(capsys, options)[0] == 0
    write_examples(options["train"], 44, seed=5)
    code, _, err = finetune(capsys, options)
    assert code == 2 and f"--train {options['train']} as it was" in err and "not as it is now" in err
    assert finetune(capsys, options, "--overwrite", "--dry_run")[0] == 0


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    (tmp_path / "run").mkdir()
    descriptor = os.open(tmp_path / "run", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Mistake, match="another process trains in this folder"):
        Toy(tmp_path / "run").run()
    os.close(descriptor)
    assert Toy(tmp_path / "run").run()["steps"] == 33


def test_a_dry_run_prints_the_plan_and_writes_nothing(options, capsys):
    code, out, err = finetune(capsys, options, "--dry_run", "--freeze=1", "--limit=20")
    plan = json.loads(out)
    assert code == 0 and not options["out"].exists()
    assert (plan["dry_run"], plan["steps"]) == (True, 10) and plan["trained_parameters"] < plan["parameters"]
    for said in ("20 examples", "seed 0", "frozen: embeddings and the first 1 layers", "saves", "nothing was written"):
        assert said in err


def test_frozen_layers_keep_their_weights(options, capsys):
    del options["dev"]
    options |= {"epochs": 1, "init": write_bert_folder(options["out"].with_name("deep"), layers=2)}
    before = load_file(options["init"] / "model.safetensors")
    for freeze, kept in (("embeddings", ["embeddings"]), ("1", ["embeddings", "encoder.layer.0."])):
        code, _, err = finetune(capsys, options, f"--freeze={freeze}", "--overwrite")
        assert code == 0 and "of them trained" in err
        for name, tensor in load_file(options["out"] / "model.safetensors").items():
            frozen = any(part in name for part in kept)
            if name in before:
                assert np.array_equal(tensor, before[name]) == frozen, name


def test_accumulation_equals_one_large_batch(capsys, options, tmp_path):
    """Also where the last step is smaller: 44 rows in steps of 12, and these in batches of 12 or 3."""
    del options["dev"]
    init = write_bert_folder(tmp_path / "still", layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    results = []
    for batch_size, accumulate in ((12, 1), (3, 4)):
        out = tmp_path / f"{len(results)}"
        changes = {"init": init, "out": out, "batch_size": batch_size, "accumulate": accumulate, "weight_decay": 0.1}
        code, result, err = finetune(capsys, options | changes)
        assert code == 0, err
        losses = [json.loads(line).get("loss", 0) for line in (out / "metrics.jsonl").read_text().splitlines()]
        results.append((json.loads(result)["steps"], losses, load_file(out / "model.safetensors")))
    for steps, losses, tensors in results[1:]:
        assert steps == results[0][0] == 8
        np.testing.assert_allclose(losses, results[0][1], rtol=1e-4)
        for name, tensor in tensors.items():
            np.testing.assert_allclose(tensor, results[0][2][name], atol=2e-5, err_msg=name)
