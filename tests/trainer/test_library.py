"""Lineage from Python: the lines of docs/train.md, on a tiny model."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import trainer
from tests.conftest import ROOT, VOCABULARY, cli
from trainer.errors import Mistake


def examples(run_folder):
    rows = [line.split(" ", 1) for line in (run_folder.parent / "train.txt").read_text(encoding="utf-8").splitlines()]
    return [text for _, text in rows[:128]], np.array([int(label) for label, _ in rows[:128]])


def test_from_preset_fits_saves_and_loads(bert_folder, run_folder, tmp_path):
    model, reader = trainer.from_preset(str(bert_folder), task="sentiment", max_length=16, learning_rate=3e-3)
    texts, labels = examples(run_folder)
    history = model.fit(reader(texts), labels, epochs=12, batch_size=16, verbose=0).history
    assert history["accuracy"][-1] > 0.9 > history["accuracy"][0]
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "logits.npy", model.predict(reader(texts[:6]), verbose=0))
    code = (
        "import sys, json, numpy as np, keras, models.bert, trainer\n"
        "_, reader = trainer.from_preset(sys.argv[1], max_length=16)\n"
        "model = keras.models.load_model(sys.argv[2] + '/m.keras')\n"
        "found = model.predict(reader(json.loads(sys.argv[3])), verbose=0)\n"
        "np.testing.assert_allclose(found, np.load(sys.argv[2] + '/logits.npy'), atol=1e-6)"
    )
    arguments = [str(bert_folder), str(tmp_path), json.dumps(texts[:6])]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, env={"KERAS_BACKEND": "tensorflow"})


def test_pairs_and_mistakes(bert_folder):
    _, reader = trainer.from_preset(str(bert_folder), task="nli", labels=["no", "yes"])
    packed = reader(["a good film", "a"], ["bad", "very bad"])
    assert packed["segment_ids"].numpy()[0].tolist() == [0] * 5 + [1] * 2
    assert packed["token_ids"].numpy()[0, 1] == VOCABULARY.index("a")
    with pytest.raises(Mistake, match="task: expected one of sentiment, classification, nli, received qa"):
        trainer.from_preset(str(bert_folder), task="qa")
    with pytest.raises(Mistake, match="labels: expected two or more names for nli, received none"):
        trainer.from_preset(str(bert_folder), task="nli")
    with pytest.raises(TypeError, match="expected a list of texts"):
        reader("a text")


def test_load_answers_as_the_command_does(run_folder, qa_run, capsys):
    trained = trainer.load(run_folder)
    _, out, _ = cli(capsys, "predict", run_folder, "--text", "a good film", "坏 片")
    assert trained.predict(["a good film", "坏 片"]) == [json.loads(line) for line in out.splitlines()]
    scores = json.loads((run_folder / "metrics.json").read_text())["final"]
    assert trained.evaluate(run_folder.parent / "dev.txt")["accuracy"] == scores["accuracy"]
    assert trained.labels == ["negative", "positive"]
    question = {"question": "a", "context": "very good film"}
    assert trainer.load(qa_run, null_threshold=1).predict([question])[0]["answer"] != ""
    with pytest.raises(TypeError, match="expected a list of rows"):
        trained.predict("a good film")


def test_finetune_has_the_commands_defaults(run_folder, bert_folder, tmp_path):
    data = run_folder.parent
    options = {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "max_length": 16, "seed": 7}
    result = trainer.finetune(
        "sentiment",
        train=str(data / "train.txt"),
        dev=str(data / "dev.txt"),
        init=str(bert_folder),
        out=str(tmp_path),
        **options,
    )
    assert result["digest"] == json.loads((run_folder / "metrics.json").read_text())["digest"]


def test_the_import_is_fast():
    code = "import sys, trainer; print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"


def test_the_pages_show_what_there_is():
    for name in ("docs/train.md", "docs/train.zh.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        used = set(re.findall(r"\btrainer\.(\w+)\(", text))
        assert used >= {"from_preset", "load", "finetune"} and all(hasattr(trainer, function) for function in used)
