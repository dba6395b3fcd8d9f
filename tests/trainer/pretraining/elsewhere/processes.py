"""Programs that run on JAX, in processes of a Python that has it."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# A Python that has JAX: this one, or that of LINEAGE_JAX
PYTHON = os.environ.get("LINEAGE_JAX") or (sys.executable if importlib.util.find_spec("jax") else None)
needs_jax = pytest.mark.skipif(not PYTHON, reason="needs JAX (LINEAGE_JAX: a Python that has it)")
STEPS, BATCH, RATE, WARMUP = 6, 8, 1e-3, 0.34


def on_jax(code, *arguments, **options):
    """Runs a program; returns the finished process."""
    command = [PYTHON, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"KERAS_BACKEND": "jax"}, check=False, **options)


def flags(prepared, out, *more):
    """Returns the arguments of a run of `STEPS`."""
    given = ["--steps", STEPS, "--batch_size", BATCH, "--rounds", 2, "--learning_rate", RATE, "--warmup", WARMUP]
    return [prepared, "--out", out, *given, "--processes", 2, *more]


def trained(prepared, out, *more):
    """Trains; returns (the result, what was said)."""
    code = "from trainer.pretraining.elsewhere.train import main; main()"
    done = on_jax(code, *flags(prepared, out, *more), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def write_start(prepared, folder):
    """Writes the weights that a run begins with, which it makes of its own seed, as a folder of weights."""
    folder.mkdir()
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        (folder / name).write_bytes((prepared / name).read_bytes())
    code = (
        "import sys; from pathlib import Path; from trainer.pretraining.elsewhere.train import prepared_of;"
        "from trainer.weights import tensors; objective = prepared_of(Path(sys.argv[1])).objective({});"
        "m = objective.model(0.0); Path(sys.argv[2]).write_bytes(tensors.to_bytes(m, objective.table(m)))"
    )
    assert on_jax(code, prepared, folder / "model.safetensors").returncode == 0


def check_it_goes_on(prepared, folder):
    """A run whose last steps are lost ends with the same bytes."""
    result, _ = trained(prepared, folder / "whole", "--dropout", 0.1)
    often, _ = trained(prepared, folder / "often", "--dropout", 0.1, "--checkpoint_every", 0, "--processes", 0)
    assert often["final"] == result["final"]
    code = (
        "from trainer.pretraining.elsewhere import train, training; seen = training.Training._save\n"
        "def save(run):\n"
        "    seen(run)\n"
        "    if run.done.step == 3: raise SystemExit(7)\n"
        "training.Training._save = save; train.main()"
    )
    given = flags(prepared, folder / "cut", "--dropout", 0.1)
    assert on_jax(code, *given, "--checkpoint_every", 0).returncode == 7
    assert not (folder / "cut" / "metrics.json").exists()
    again, shown = trained(prepared, folder / "cut", "--dropout", 0.1)
    assert "resume    from step 3" in shown and again["final"] == result["final"]
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (folder / "cut" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    _, shown = trained(prepared, folder / "cut", "--dropout", 0.1)
    assert "finished" in shown
