"""`compare`: two tiny models with two seeds each, interrupted, failed, finished; and runs that exist."""

import fcntl
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, cli, said_by, write_examples
from trainer.comparison import picture, table

RUNS = ["tiny-seed-1", "weights-seed-1", "tiny-seed-2", "weights-seed-2"]  # in the order of their training
EPOCHS = 8  # of tiny


def command(folder, *more):
    options = [f"tiny:vocabulary={folder}/weights/vocab.txt", "max_length=16", "batch_size=4", "learning_rate=1e-3"]
    models = ["--models", f"tiny,{folder}/weights", "--seeds=2", "--out", folder / "out"]
    data = ["--train", folder / "train.txt", "--dev", folder / "dev.txt"]
    arguments = [*models, *data, *more, "--options", *options, "epochs=1", f"tiny:epochs={EPOCHS}"]
    return ["compare", "sentiment", *map(str, arguments)]


@pytest.fixture(scope="module")
def interrupted(bert_folder, tmp_path_factory):
    """A comparison that SIGTERM stopped in its first run: (folder, exit status, what it said)."""
    folder = tmp_path_factory.mktemp("compare")
    write_examples(folder / "train.txt", 24)
    write_examples(folder / "dev.txt", 8, seed=1)
    shutil.copytree(bert_folder, folder / "weights")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    process = subprocess.Popen([sys.executable, "-m", "trainer", *command(folder)], **pipes)
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(f"epoch 1/{EPOCHS}"):
            process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == ""
    shutil.copytree(folder / "out", folder / "as-it-was")
    return folder, process.returncode, "".join(said)


@pytest.fixture(scope="module")
def failed(interrupted):
    """The same command again, while another process trains in the folder of one run, and after `finetune` trained another:
    (folder, exit status, standard output, standard error); its page lies beside, as `failed.md`."""
    folder = interrupted[0]
    assert said_by("finetune", "sentiment", *flags_of_tiny(folder))[0] == 0
    (folder / "out" / "weights-seed-1").mkdir()
    holder = os.open(folder / "out" / "weights-seed-1", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        said = said_by(*command(folder))
    finally:
        os.close(holder)
    shutil.copy(folder / "out" / "compare.md", folder / "failed.md")
    return folder, *said


@pytest.fixture(scope="module")
def comparison(failed):
    """The same command to its end: (folder, exit status, standard output, standard error)."""
    return failed[0], *said_by(*command(failed[0]))


def flags_of_tiny(folder):
    """Returns the options of `finetune` that are those of the comparison for its third run."""
    flags = [f"--vocabulary={folder}/weights/vocab.txt", "--max_length=16", "--batch_size=4", "--learning_rate=1e-3"]
    flags += [f"--train={folder}/train.txt", f"--dev={folder}/dev.txt", f"--epochs={EPOCHS}"]
    return [*flags, "--model=tiny", "--seed=2", f"--out={folder}/out/tiny-seed-2"]


def result_of(run):
    return json.loads((Path(run) / "metrics.json").read_text())


def test_a_signal_saves_and_ends(interrupted):
    folder, status, said = interrupted
    assert status == 128 + signal.SIGTERM
    assert "run       1 of 4: tiny, seed 1\n" in said and "python -m trainer finetune: SIGTERM: stopped at step" in said
    assert said.endswith("stopped at run 1 of 4: tiny, seed 1; the same command goes on from there\n")
    assert [path.name for path in (folder / "as-it-was").iterdir()] == ["tiny-seed-1"]
    assert any((folder / "as-it-was" / "tiny-seed-1" / "checkpoint").iterdir())


def test_a_run_that_fails_is_said_and_the_others_go_on(failed):
    folder, status, out, err = failed
    assert "resume    from step" in err and "run       4 of 4: weights, seed 2; about " in err
    found, name = json.loads(out), f"{folder}/out/weights-seed-1"
    assert status == 1 and f"failed    {name}; the others go on\n" in err
    assert list(found["failed"]) == [name] and "another process trains in this folder" in found["failed"][name]
    assert err.splitlines()[-1].startswith(f"python -m trainer compare: 1 of 4 runs failed ({name}: ")
    assert {model["model"]: list(model["seeds"]) for model in found["models"]} == {"tiny": ["1", "2"], "weights": ["2"]}
    assert next(model["spread"] for model in found["models"] if model["model"] == "weights") is None
    assert "Failed: " in (folder / "failed.md").read_text()


def test_it_goes_on_and_writes_what_was_found(comparison):
    folder, status, out, err = comparison
    assert status == 0, err
    assert [line.split(": ", 1)[1] for line in err.splitlines() if line.startswith("run ") and "before" in line] == [
        "tiny, seed 1: finished before", "tiny, seed 2: finished before", "weights, seed 2: finished before"
    ]  # fmt: skip
    found = json.loads(out)
    assert found == json.loads((folder / "out" / "compare.json").read_text(encoding="utf-8"))
    assert (found["task"], found["metric"], found["dev"], found["failed"]) == ("sentiment", "accuracy", "dev.txt", {})
    assert found["speed"] == {"rows": 8, "batch_size": 32, "passes": 5}
    assert {model["model"]: len(model["runs"]) for model in found["models"]} == {"tiny": 2, "weights": 2}
    for model in found["models"]:
        results = [result_of(run) for run in model["runs"]]
        scores = [result["final"]["accuracy"] for result in results]
        assert model["seeds"] == {"1": scores[0], "2": scores[1]}
        assert model["score"] == pytest.approx(statistics.mean(scores), abs=1e-6)
        assert model["spread"] == pytest.approx(statistics.stdev(scores), abs=1e-6)
        assert (model["low"], model["high"]) == (min(scores), max(scores))
        epochs = EPOCHS if model["model"] == "tiny" else 1
        seconds = sum(result["seconds"] for result in results) / 2
        assert model["seconds_per_epoch"] == pytest.approx(seconds / epochs, abs=0.01)
        assert model["parameters"] == results[0]["parameters"] and model["answers_per_second"] > 0
        ((counted, buckets),) = model["lengths"].items()
        assert sum(bucket["examples"] for bucket in buckets) == 8
        for i, bucket in enumerate(buckets):
            of_runs = [result["report"]["lengths"][counted][i]["accuracy"] for result in results]
            assert bucket["score"] == pytest.approx(statistics.mean(of_runs), abs=1e-6)
        assert model["bytes"] == os.path.getsize(f"{model['runs'][0]}/model.safetensors")
    page = (folder / "out" / "compare.md").read_text(encoding="utf-8")
    assert table.lines(found) in err and "| tiny | 48" in page and "](compare.png)" in page
    assert (folder / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_each_run_is_an_ordinary_one(comparison, failed, capsys):
    """What `finetune` trained is a run of the comparison, and what the comparison trained one of `finetune`."""
    folder = comparison[0]
    assert sorted(path.name for path in (folder / "out").iterdir() if path.is_dir()) == sorted(RUNS)
    assert "run       3 of 4: tiny, seed 2: finished before\n" in failed[3]
    flags = [*flags_of_tiny(folder), "--seed=1", f"--out={folder}/out/tiny-seed-1"]
    status, out, err = cli(capsys, "finetune", "sentiment", *flags)
    assert status == 0 and "finished" in err
    assert json.loads(out)["digest"] == result_of(folder / "out" / "tiny-seed-1")["digest"]


def test_the_same_command_on_a_finished_comparison_ends_at_once(comparison, capsys):
    folder, _, first, _ = comparison
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")}
    status, out, err = cli(capsys, *command(folder))
    assert (status, out) == (0, first) and "holds this comparison, finished" in err
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")} == before
    status, out, err = cli(capsys, *command(folder), "warmup=0.5")
    assert (status, out) == (2, "") and "holds a run with --warmup 0.1, not 0.5" in err


def test_a_dry_run_says_the_options_of_each(interrupted, capsys, tmp_path):
    status, out, err = cli(capsys, *command(interrupted[0], "--dry_run", "--out", tmp_path / "out"))
    runs = json.loads(out)["runs"]
    assert status == 0 and [os.path.basename(run["run"]) for run in runs] == RUNS and not (tmp_path / "out").exists()
    assert [run["options"].get("model") for run in runs] == ["tiny", None] * 2
    assert [run["options"].get("epochs") for run in runs] == [EPOCHS, 1] * 2
    assert [run["options"]["seed"] for run in runs] == [1, 1, 2, 2]
    assert "run       3 of 4: tiny, seed 2: " in err and "nothing was trained, nothing was written" in err


def test_recipes_are_taken_by_name(interrupted, capsys, tmp_path):
    data = ["--train", interrupted[0] / "train.txt", "--dev", interrupted[0] / "dev.txt", "--out", tmp_path / "out"]
    (tmp_path / "mine.yaml").write_text("init: minilm\nepochs: 9\n")
    models = f"minilm,{tmp_path}/mine.yaml"
    arguments = ["compare", "sentiment", "--models", models, *data, "--seeds=1", "--dry_run"]
    status, out, _ = cli(capsys, *arguments, "--options", "batch_size=8")
    options = {os.path.basename(run["run"]): run["options"] for run in json.loads(out)["runs"]}
    assert status == 0 and list(options) == ["minilm-seed-1", "mine-seed-1"]
    assert (options["minilm-seed-1"]["init"], options["minilm-seed-1"]["learning_rate"]) == ("minilm", 1e-4)
    assert (options["mine-seed-1"]["init"], options["mine-seed-1"]["epochs"]) == ("minilm", 9)
    assert {each["batch_size"] for each in options.values()} == {8}


def test_runs_that_exist(comparison, capsys, tmp_path):
    """Of folders of any name: seeds together, what differs in brackets, copies left out."""
    folder, _, first, _ = comparison
    for new, old in (("a", RUNS[0]), ("b", RUNS[2]), ("c", RUNS[3]), ("again", RUNS[0]), ("longer", RUNS[1])):
        shutil.copytree(folder / "out" / old, tmp_path / new)
    settings = json.loads((tmp_path / "longer" / "config.json").read_text())
    settings["lineage"]["options"]["epochs"] = 2
    (tmp_path / "longer" / "config.json").write_text(json.dumps(settings))
    runs = [tmp_path / name for name in ("a", "b", "c", "again", "longer")]
    status, out, err = cli(capsys, "compare", *runs, "--out", tmp_path / "found")
    found = {model["model"]: list(model["seeds"]) for model in json.loads(out)["models"]}
    assert status == 0, err
    assert found == {"tiny": ["1", "2"], "weights (epochs 1)": ["2"], "weights (epochs 2)": ["1"]}
    assert f"left out  {tmp_path}/again: the same settings and seed as another run\n" in err
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["compare.json", "compare.md", "compare.png"]

    shutil.copytree(folder / "out", tmp_path / "out")
    (tmp_path / "out" / RUNS[1] / "metrics.json").unlink()
    status, out, err = cli(capsys, "compare", tmp_path / "out")
    again, before = json.loads(out), json.loads(first)
    assert status == 0 and f"left out  {tmp_path}/out/{RUNS[1]}: not finished\n" in err
    assert {model["model"]: list(model["seeds"]) for model in again["models"]} == {"tiny": ["1", "2"], "weights": ["2"]}
    scores = [next(m["score"] for m in each["models"] if m["model"] == "tiny") for each in (again, before)]
    assert scores[0] == scores[1]
    assert json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8")) == again


def test_runs_that_cannot_be_compared(run_folder, tagging_run, bert_folder, capsys, tmp_path):
    def changed(name, **fingerprints):
        shutil.copytree(run_folder, tmp_path / name)
        settings = json.loads((tmp_path / name / "config.json").read_text())
        settings["lineage"]["fingerprints"] |= fingerprints
        (tmp_path / name / "config.json").write_text(json.dumps(settings))
        return tmp_path / name

    unscored, unfinished = changed("unscored"), changed("unfinished")
    result = result_of(unscored)
    result["final"] = result["best"] = {"epoch": 3, "step": 96}
    (unscored / "metrics.json").write_text(json.dumps(result))
    (unfinished / "metrics.json").unlink()
    write_examples(tmp_path / "dev.txt", 8)
    for given, words in (
        ([run_folder, tagging_run], f"{tagging_run}: expected a run of sentiment, as {run_folder} is, found one of tagging"),
        ([run_folder, changed("other", dev="0123")], "other: expected the dev data of"),
        ([run_folder, unscored], "unscored: expected a run with scores on dev data, found none"),
        ([unfinished], "unfinished: expected a finished run, found an unfinished one"),
        ([bert_folder], "tiny: expected a finished run of this program, found something else"),
        ([tmp_path / "none"], "none: expected a run folder, or a folder that holds some, found neither"),
        ([run_folder, "--dev", tmp_path / "dev.txt"], f"--dev {tmp_path}/dev.txt: expected the dev data of {run_folder}"),
    ):  # fmt: skip
        status, out, err = cli(capsys, "compare", *given, "--out", tmp_path / "out")
        assert (status, out, err.count("\n")) == (2, "", 1) and words in err, err
    assert not (tmp_path / "out").exists()


def test_labels_of_points_meet_no_other(tmp_path):
    """As many models as the lineage has, close together, two of them at the same place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = ["bag", "rnn", "lstm", "gru", "bilstm", "bigru", "transformer", "minilm"]
    places = [(120, 0.79), (300, 0.78), (420, 0.815), (430, 0.815), (700, 0.828), (680, 0.83), (500, 0.8), (700, 0.828)]
    models = [
        {"model": name, "seconds": seconds, "score": score, "spread": 0.005}
        for name, (seconds, score) in zip(names, places, strict=True)
    ]
    figure = Figure(figsize=(7.5, 5), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    picture.scale(axes, models)
    picture.label(figure, axes, models)
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == names
    assert not [1 for i, box in enumerate(boxes) for other in boxes[:i] if box.overlaps(other)]
