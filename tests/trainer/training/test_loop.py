"""The loop: what comes out does not depend on what interrupted it; accumulation, freezing, early stopping."""

import fcntl
import json
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.bench import resume
from tests.conftest import cli, write_bert_folder, write_examples
from trainer.training import loop


@pytest.fixture
def options(bert_folder, tmp_path):
    train, dev = write_examples(tmp_path / "train.txt", 44), write_examples(tmp_path / "dev.txt", 12, seed=1)
    options = {"train": train, "dev": dev, "init": bert_folder, "out": tmp_path / "run", "epochs": 2, "batch_size": 4}
    return options | {"max_length": 16, "learning_rate": 1e-3}


def finetune(capsys, options, *flags):
    return cli(capsys, "finetune", "sentiment", *[f"--{name}={value}" for name, value in options.items()], *flags)


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
    """What runs in a script's background ignores SIGINT, or SIGHUP, and so would the runs."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_saves_and_the_same_command_goes_on(options, capsys, tmp_path, number, status):
    options |= {"epochs": 6, "keep": "best"}
    code, undisturbed, _ = finetune(capsys, options | {"out": tmp_path / "undisturbed"})
    assert code == 0
    log = options["out"] / "metrics.jsonl"
    send_when(lambda: log.exists() and log.stat().st_size, number, times=5 if number == signal.SIGTERM else 1)
    code, out, err = finetune(capsys, options)
    assert (code, out) == (status, "")
    assert f"{signal.Signals(number).name}: stopped at step " in err and "the same command goes on from there" in err
    assert not (options["out"] / "metrics.json").exists()

    config = json.loads((options["out"] / "config.json").read_text())
    config["lineage"]["environment"]["cores"] = 999
    (options["out"] / "config.json").write_text(json.dumps(config))
    code, _, err = finetune(capsys, options | {"learning_rate": 0.5})
    assert code == 2 and "--learning_rate 0.001, not 0.5" in err
    code, out, err = finetune(capsys, options | {"checkpoint_every": 7})  # changes no result
    assert code == 0 and "resume    from step" in err and "begun with cores 999, here" in err
    one, two = json.loads(out), json.loads(undisturbed)
    assert one | {"seconds": 0} == two | {"seconds": 0} and len(one["digest"]) == 16
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (options["out"] / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert not (options["out"] / "checkpoint").exists()


def test_a_signal_while_scoring_goes_on_with_the_scoring(options, capsys, tmp_path, monkeypatch):
    """The dev file is long, so that the signal, sent when all of an epoch's steps are logged, comes while it is scored."""
    write_examples(options["dev"], 3000)
    options |= {"epochs": 1, "limit": 40}
    _, undisturbed, _ = finetune(capsys, options | {"out": tmp_path / "undisturbed"})
    log = options["out"] / "metrics.jsonl"
    send_when(lambda: log.exists() and '"step": 10,' in log.read_text(), signal.SIGTERM)
    code, _, err = finetune(capsys, options)
    assert code == 143 and "stopped at step 10 of 10" in err and "dev accuracy" not in err
    code, out, err = finetune(capsys, options)
    assert code == 0 and "resume    from step 10 of 10" in err and "all steps made before" in err
    assert json.loads(out)["digest"] == json.loads(undisturbed)["digest"]


def test_a_killed_run_ends_as_one_that_was_not(options, tmp_path):
    """In processes of their own: SIGKILL while a checkpoint is written."""
    draw = random.Random(0)
    flags = [f"--{name}={value}" for name, value in options.items() if name != "out"]
    command = [*resume.TRAIN, *flags, "--epochs=10", "--checkpoint_every=0"]
    result, _ = resume.finish(command, tmp_path / "undisturbed")
    for attempt in range(8):  # a run on a slow disk saves rarely, and may end before it is met while saving
        killed = tmp_path / f"killed-{attempt}"
        when = resume.disturb(command, killed, "SIGKILL while saving", None, draw)
        if when:
            break
    assert "writing step-" in when
    again, _ = resume.finish(command, killed)
    assert resume.digests(killed, again) == resume.digests(tmp_path / "undisturbed", result)


def test_what_a_kill_leaves_at_the_start_is_no_obstacle(options, capsys):
    """Between the making of the folder and its first whole file."""
    options["out"].mkdir()
    (options["out"] / "config.json.part").write_text('{"lineage": {"op')
    code, out, err = finetune(capsys, options)
    assert code == 0, err
    assert not list(options["out"].rglob("*.part")) and json.loads(out)["steps"] == 22


def test_overwrite_deletes_the_run_and_nothing_else(options, capsys):
    assert finetune(capsys, options)[0] == 0
    for mine in ("notes.txt", "film.part", "export/1/saved_model.pb"):
        (options["out"] / mine).parent.mkdir(parents=True, exist_ok=True)
        (options["out"] / mine).write_text("mine")
    log = options["out"] / "metrics.jsonl"
    before = log.read_bytes()
    send_when(lambda: log.exists() and 0 < log.stat().st_size < len(before), signal.SIGTERM)
    code, _, err = finetune(capsys, options | {"epochs": 30}, "--overwrite")
    assert code == 143 and "the same command without --overwrite goes on from there" in err
    assert finetune(capsys, options | {"epochs": 30})[0] == 0
    for mine in ("notes.txt", "film.part", "export/1/saved_model.pb"):
        assert (options["out"] / mine).read_text() == "mine"


def test_paths_may_be_spelt_otherwise(options, capsys, monkeypatch, tmp_path):
    _, first, _ = finetune(capsys, options)
    monkeypatch.chdir(tmp_path)
    again = options | {"train": "train.txt", "dev": "./dev.txt", "out": "run"}
    assert finetune(capsys, again, "--labels", "negative", "positive")[:2] == (0, first)


def test_the_first_of_equal_scores_is_the_best():
    work = loop.Work(None, None, 1, 3, None, None, score=print, metric="accuracy")
    scores = [{"epoch": epoch, "accuracy": value} for epoch, value in ((1, 0.5), (2, 0.75), (3, 0.75))]
    assert work.best(scores)["epoch"] == 2


def test_changed_data_are_another_run(options, capsys):
    assert finetune(capsys, options)[0] == 0
    write_examples(options["train"], 44, seed=5)
    code, _, err = finetune(capsys, options)
    assert code == 2 and f"--train {options['train']} as it was" in err and "not as it is now" in err
    assert finetune(capsys, options, "--overwrite")[0] == 0


def test_two_processes_do_not_train_in_one_folder(options, capsys):
    options["out"].mkdir()
    descriptor = os.open(options["out"], os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    code, _, err = finetune(capsys, options)
    os.close(descriptor)
    assert code == 2 and "another process trains in this folder" in err
    assert finetune(capsys, options)[0] == 0


def test_a_dry_run_prints_the_plan_and_writes_nothing(options, capsys):
    code, out, err = finetune(capsys, options, "--dry_run", "--freeze=1", "--limit=20")
    plan = json.loads(out)
    assert code == 0 and not options["out"].exists()
    assert (plan["dry_run"], plan["steps"]) == (True, 10) and plan["trained_parameters"] < plan["parameters"]
    for said in ("20 examples", "seed 0", "frozen: embeddings and the first 1 layers", "saves", "nothing was written"):
        assert said in err


def test_frozen_layers_keep_their_weights(options, capsys):
    before = load_file(options["init"] / "model.safetensors")
    for freeze, kept in (("embeddings", ["embeddings"]), ("1", ["embeddings", "encoder.layer.0."])):
        code, _, err = finetune(capsys, options, f"--freeze={freeze}", "--overwrite")
        assert code == 0 and "of them trained" in err
        for name, tensor in load_file(options["out"] / "model.safetensors").items():
            frozen = any(part in name for part in kept)
            if name in before:
                assert np.array_equal(tensor, before[name]) == frozen, name


def test_accumulation_equals_one_large_batch(capsys, options, tmp_path):
    """Also where the last step is smaller: 44 rows in steps of 12, and these in batches of 12, 4 or 3."""
    init = write_bert_folder(tmp_path / "still", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    results = []
    for batch_size, accumulate in ((12, 1), (4, 3), (3, 4)):
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


def test_early_stopping_and_the_best_weights(options, capsys, tmp_path):
    """A dev set that contradicts training: the first epochs score best, and the weights of that epoch are kept."""
    rows = options["dev"].read_text().splitlines()
    options["dev"].write_text("".join(f"{1 - int(row[0])}{row[1:]}\n" for row in rows))
    options |= {"epochs": 30, "patience": 9, "keep": "best", "batch_size": 8, "learning_rate": 3e-3}
    code, out, err = finetune(capsys, options)
    result = json.loads(out)
    assert code == 0 and "9 without a better accuracy" in err and "the weights that are kept" in err
    final, best = result["final"], result["best"]
    assert final["epoch"] == best["epoch"] + 9 < 30 and final["accuracy"] < best["accuracy"]
    assert result["steps"] == 6 * final["epoch"]
    assert finetune(capsys, options)[:2] == (0, out)
    _, score, _ = cli(capsys, "evaluate", options["out"], "--data", options["dev"])
    assert json.loads(score)["accuracy"] == best["accuracy"]
