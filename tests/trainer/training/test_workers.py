"""Several workers: their shares, what ends them, and that two give what one does."""

import json
import os
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.conftest import cli, said_by, stopped_at, write_bert_folder, write_examples
from trainer.commands import launch
from trainer.errors import Mistake
from trainer.training.workers import Cluster, Workers

TWO = {"worker": ["one:1", "one:2"]}


def test_cluster():
    assert Cluster.of(None) == Cluster.of("{}") == Cluster()
    config = {"cluster": {"worker": ["one:1", "two:1", "two:2"]}, "task": {"type": "worker", "index": 2}}
    cluster = Cluster.of(json.dumps(config))
    assert (cluster.addresses, cluster.index, cluster.beside) == (("one:1", "two:1", "two:2"), 2, 1)
    config = {"cluster": {"worker": ["two:1"], "chief": ["one:1"]}, "task": {"type": "worker", "index": 0}}
    assert Cluster.of(json.dumps(config)) == Cluster(("one:1", "two:1"), 1)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": TWO | {"ps": ["one:3"]}, "task": {"type": "worker", "index": 0}}),
    ],
)
def test_cluster_that_makes_no_sense(text):
    with pytest.raises(Mistake, match=r"TF_CONFIG: expected .*HOST:PORT.*, received"):
        Cluster.of(text)


def test_shares():
    rows = np.array([7, 3, 5, 9, 1])
    shares = [Workers(i, 3).share(rows) for i in range(3)]
    assert sorted(np.concatenate([own for own, _ in shares])) == sorted(rows)
    assert all(counts for _, counts in shares)
    own, counts = Workers(2, 3).share(rows[:2])
    assert (own.tolist(), counts) == ([7], False)


PROGRAM = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
print(len(config["cluster"]["worker"]), *sys.argv[1:3], len(os.sched_getaffinity(0)), file=sys.stderr, flush=True)
if index == 1:
    time.sleep(1)
    {ending}
time.sleep(100 if {waits} else 0)
print('"result"')
"""


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        ("sys.exit(7)", 7, "worker 1 ended with status 7, and the others with it"),
        ("os.kill(os.getpid(), 9)", 1, "worker 1 was killed by signal 9; the same command goes on"),
        ("sys.exit(0)", 0, ""),
    ],
)
def test_launch(tmp_path, monkeypatch, capfd, ending, status, said):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(ending=ending, waits=status != 0))
    monkeypatch.setattr(launch, "PROGRAM", (sys.executable, str(program)))
    command = ["finetune", "sentiment", "--train=x", "--init=y", "--out=z"]
    ended, _, err = said_by("launch", "--workers=2", "--", *command)
    out, _ = capfd.readouterr()
    assert (ended, out, said in err) == (status, "" if status else '"result"\n', True)
    cores = max(len(os.sched_getaffinity(0)) // 2, 1)
    assert {f"[{i}] 2 finetune sentiment {cores}" for i in range(2)} <= {*err.splitlines()}


def test_launch_refuses(capsys):
    status, _, err = cli(capsys, "launch", "--workers=2", "--", "evaluate", "run")
    assert (status, "expected finetune or pretrain behind --, received evaluate" in err) == (2, True)
    assert cli(capsys, "launch", "--workers=0", "--", "finetune")[0] == 2
    status, _, err = cli(
        capsys, "launch", "--workers=2", "--", "finetune", "sentiment", "--train=x", "--init=y", "--out=z", "--epochs=0"
    )
    assert (status, "--epochs: expected more than 0, received 0" in err) == (2, True)


def test_two_workers_go_on_as_one_would(tmp_path, capfd):
    """They go on with a run that one worker began. Its last batch has one row: a worker has none; steps have two batches each."""
    write_bert_folder(tmp_path / "tiny", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    files = [
        f"--train={write_examples(tmp_path / 'train.txt', 37)}",
        f"--dev={write_examples(tmp_path / 'dev.txt', 8)}",
    ]
    settings = ["--epochs=3", "--batch_size=4", "--accumulate=2", "--learning_rate=3e-3", "--max_length=16"]
    command = ["finetune", "sentiment", f"--init={tmp_path}/tiny", *files, *settings]
    status, _, err = said_by(*command, f"--out={tmp_path}/one")
    assert status == 0, err
    with stopped_at(3):
        assert said_by(*command, f"--out={tmp_path}/two")[0] == 143
    capfd.readouterr()
    status, _, err = said_by("launch", "--workers=2", "--", *command, f"--out={tmp_path}/two")
    assert status == 0, err
    result = json.loads(capfd.readouterr().out)
    assert "[0] resume    from step 3 of 15" in err
    assert "[0] note      begun with workers 1, here 2: the last bits may differ" in err
    assert {line[:3] for line in err.splitlines()} == {"[0]", "[1]"}
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-3, atol=2e-5, err_msg=name)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    for of_one, of_two in zip(*(map(json.loads, some) for some in lines), strict=True):
        if "dev" not in of_one:
            assert of_two["loss"] == pytest.approx(of_one["loss"], rel=1e-4)
    assert (
        result["final"]["accuracy"] == json.loads((tmp_path / "one" / "metrics.json").read_text())["final"]["accuracy"]
    )
