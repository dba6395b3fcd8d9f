"""Checkpoints: complete or absent; damage is reported; a full disk costs nothing that was saved."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tests.conftest import ROOT, cli, write_bert_folder, write_examples
from trainer.errors import Failure
from trainer.training import checkpoint


def variables(seed):
    random = np.random.default_rng(seed)
    values = [random.normal(size=[7, 5]).astype("float32"), np.float32(seed), random.integers(0, 9, [2])]
    return [keras.Variable(value, dtype=value.dtype.name) for value in values]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_is_saved_is_loaded_and_the_newest_stays(tmp_path):
    first, second, target = variables(1), variables(2), variables(3)
    assert checkpoint.load(tmp_path / "checkpoint", target) is None
    checkpoint.save(tmp_path / "checkpoint", first, {"step": 9, "loss": 0.1 + 0.2})
    checkpoint.save(tmp_path / "checkpoint", second, {"step": 10, "loss": 1 / 3})
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["step-00000010.safetensors"]
    assert checkpoint.load(tmp_path / "checkpoint", target) == {"step": 10, "loss": 1 / 3}
    assert same(second, target)


def test_damage_is_said(tmp_path):
    checkpoint.save(tmp_path, variables(1), {"step": 1})
    path = checkpoint.newest(tmp_path)
    content = bytearray(path.read_bytes())
    for damaged, message in (
        (content[:-1] + bytes([content[-1] ^ 1]), "damaged: expected digest"),
        (content[: len(content) // 2], "found a damaged file"),
        (b"", "found a damaged file"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(Failure, match=message):
            checkpoint.load(tmp_path, variables(2))
    path.write_bytes(content)
    with pytest.raises(Failure, match="expected the 2 variables of this model, found 3 others"):
        checkpoint.load(tmp_path, variables(1)[:2])


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(tmp_path):
    checkpoint.save(tmp_path, variables(1), {"step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes of a file
    try:
        with pytest.raises(Failure, match=r"step-00000002.*not written .*step-00000001.safetensors is whole"):
            checkpoint.save(tmp_path, variables(2), {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.safetensors"]
    target = variables(3)
    assert checkpoint.load(tmp_path, target) == {"step": 1} and same(variables(1), target)


def test_what_counts_is_on_the_disk_before_it_is_relied_on(tmp_path, bert_folder, monkeypatch, capsys):
    """A power cut: every file is flushed before it gets its name, its name before anything else happens, and the log before
    the checkpoint that relies on it."""
    events, fsync, replace = [], os.fsync, os.replace
    name = lambda path: Path(path).name
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append(("flush", name(os.readlink(f"/proc/self/fd/{fd}")))), fsync(fd))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("name", name(a), name(b))), replace(a, b)))
    train = write_examples(tmp_path / "train.txt", 16)
    flags = [f"--train={train}", f"--init={bert_folder}", f"--out={tmp_path / 'run'}", f"--dev={train}", "--keep=best"]
    status, _, err = cli(
        capsys, "finetune", "sentiment", *flags, "--max_length=16", "--checkpoint_every=0", "--epochs=1"
    )
    assert status == 0, err
    named = [(i, event) for i, event in enumerate(events) if event[0] == "name"]
    assert {event[2] for _, event in named} >= {"config.json", "model.safetensors", "metrics.json", "best.safetensors"}
    for i, (_, part, whole) in named:
        folder = "checkpoint" if whole.startswith(("step-", "best.")) else "run"
        assert events[i - 1] == ("flush", part) and events[i + 1] == ("flush", folder), (whole, events)
    saves = [i for i, event in named if event[2].startswith("step-")]
    assert saves and all(("flush", "metrics.jsonl") in events[max(i - 4, 0) : i] for i in saves), events
    result = next(i for i, event in named if event[2] == "metrics.json")
    assert ("flush", "metrics.jsonl") in events[saves[-1] : result]


def test_room_is_asked_for_all_that_a_run_keeps(tmp_path, monkeypatch):
    free = SimpleNamespace(free=359_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    checkpoint.check_room(tmp_path, 100_000_000, 40_000_000, kept=3)
    with pytest.raises(
        Failure, match=r"expected 360.0 MB free, for two checkpoints and the weights of 4 epochs, found 359.0"
    ):
        checkpoint.check_room(tmp_path, 100_000_000, 40_000_000, kept=4)
    (tmp_path / "checkpoint").mkdir()
    for name in ("step-00000008", "epoch-0001", "epoch-0002"):  # those need no more
        (tmp_path / "checkpoint" / f"{name}.safetensors").touch()
    free.free = 139_000_000
    with pytest.raises(
        Failure, match=r"expected 140.0 MB free, for another checkpoint and the weights of 1 epoch, found"
    ):
        checkpoint.check_room(tmp_path, 100_000_000, 40_000_000, kept=3)
    checkpoint.check_room(tmp_path, 100_000_000, 40_000_000, kept=2)


# A disk of its own, 400 kB large, that fills while a tiny BERT is trained on it. One process runs the three commands: what is
# tested is what each says and leaves, not the import of TensorFlow.
FULL_DISK = """
import subprocess, sys, threading, time
from pathlib import Path

from tests.conftest import said_by

disk, init, data, notes = map(Path, sys.argv[1:])

def mount(*flags):
    subprocess.run(["mount", "-t", "tmpfs", "-o", *flags, "tmpfs", disk], check=True)

def train(name, out, *flags):
    command = ["finetune", "sentiment", "--init", init, "--train", data, "--out", disk / out, "--max_length=16", *flags]
    for what, said in zip(("status", "out", "err"), said_by(*command)):
        (notes / f"{name}_{what}").write_text(str(said))

def fill():
    while not any(disk.glob("run/checkpoint/step-0*.safetensors")):
        time.sleep(0.01)
    try:
        (disk / "filler").write_bytes(bytes(2_000_000))
    except OSError:
        pass

mount("size=400k")
train("room", "small", "--limit=8")
mount("remount,size=1300k")
filling = threading.Thread(target=fill)
filling.start()
often = ("--epochs=2", "--batch_size=8", "--checkpoint_every=0")
train("full", "run", *often)
filling.join()
(notes / "left").write_text("".join(f"{path.name}\\n" for path in (disk / "run" / "checkpoint").iterdir()))
(disk / "filler").unlink()
train("again", "run", *often)
"""
MAY_MOUNT = (
    shutil.which("unshare")
    and not subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    ).returncode
)


@pytest.mark.skipif(not MAY_MOUNT, reason="no small disk can be mounted here (needs user namespaces)")
def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path):
    disk, notes = tmp_path / "disk", tmp_path / "notes"
    for folder in (disk, notes):
        folder.mkdir()
    weights, train = write_bert_folder(tmp_path / "tiny"), write_examples(tmp_path / "train.txt", 640)
    command = ["unshare", "-rm", sys.executable, "-c", FULL_DISK, disk, weights, train, notes]
    subprocess.run(command, check=True, timeout=240, cwd=ROOT)
    outputs = {path.name: path.read_text() for path in notes.iterdir()}
    assert (
        outputs["room_status"] == "1" and "MB free, for two checkpoints, found" in outputs["room_err"].splitlines()[-1]
    )
    assert outputs["full_status"] == "1" and outputs["full_out"] == ""
    last = outputs["full_err"].splitlines()[-1]
    assert "No space left on device" in last and "the same command" in last, outputs["full_err"]
    assert "Traceback" not in outputs["full_err"], outputs["full_err"]
    # The last checkpoint, and no part of another
    assert outputs["left"].count("\n") == 1 and outputs["left"].startswith("step-")
    assert outputs["again_status"] == "0" and "resume    from step" in outputs["again_err"], outputs["again_err"]
