"""Data of other libraries' catalogues: small sets built by those libraries' own tools."""

import json
import os
import sys

import pytest

from tests.conftest import cli
from trainer.data import catalogues, files
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

REVIEWS = {"train": [("好片", 1), ("bad", 0), ("a fine film", 1)], "validation": [("so so", -1), ("ok", 1)]}
ANSWERS = {"text": ["b"], "answer_start": [2]}
QUESTION = {"id": "q1", "question": "what?", "context": "a b c", "answers": ANSWERS}
READ = {  # how each set is read as data of a task, part by part
    "reviews": ("sentiment", "train", [{"label": label, "text": text} for text, label in (("好片", "positive"), ("bad", "negative"), ("a fine film", "positive"))]),
    "tags": ("tagging", "train", [{"words": ["dogs", "bark"], "tags": ["NOUN", "VERB"], "text": "dogs bark", "spans": [[0, 4], [5, 9]]}]),
    "squad": ("qa", "train", [{"id": "q1", "question": "what?", "context": "a b c", "answers": [{"text": "b", "answer_start": 2}]}]),
}  # fmt: skip


@pytest.fixture(scope="session")
def tfds_folder(tmp_path_factory):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder, f = tmp_path_factory.mktemp("tfds"), tfds.features
    text, label, tag = f.Text(), f.ClassLabel(names=["negative", "positive"]), f.ClassLabel(names=["NOUN", "VERB"])
    for name, features, splits in (
        ("reviews", {"text": text, "label": label}, {split: [{"text": t, "label": n} for t, n in rows] for split, rows in REVIEWS.items()}),
        ("tags", {"tokens": f.Sequence(text), "upos": f.Sequence(tag)}, {"train": [{"tokens": ["dogs", "bark"], "upos": [0, 1]}]}),
        ("squad", {"id": text, "question": text, "context": text, "answers": f.Sequence({"text": text, "answer_start": tf.int32})}, {"train": [QUESTION]}),
    ):  # fmt: skip
        tfds.dataset_builders.store_as_tfds_dataset(
            name=f"small_{name}",
            version="1.0.0",
            data_dir=folder,
            features=f.FeaturesDict(features),
            split_datasets={split: ((str(i), row) for i, row in enumerate(rows)) for split, rows in splits.items()},
            disable_shuffling=True,
        )
    return folder


@pytest.fixture(scope="session")
def hugging_face_folder(tmp_path_factory):
    from datasets import ClassLabel, Dataset, Features, List, Value

    folder, text = tmp_path_factory.mktemp("hf"), Value("string")
    label, tag = ClassLabel(names=["negative", "positive"]), ClassLabel(names=["NOUN", "VERB"])
    for name, features, splits in (
        ("reviews", {"text": text, "label": label}, {split: {"text": [t for t, _ in rows], "label": [n for _, n in rows]} for split, rows in REVIEWS.items()}),
        ("tags", {"tokens": List(text), "upos": List(tag)}, {"train": {"tokens": [["dogs", "bark"]], "upos": [[0, 1]]}}),
        ("squad", {"id": text, "question": text, "context": text, "answers": {"text": List(text), "answer_start": List(Value("int32"))}}, {"train": {key: [value] for key, value in QUESTION.items()}}),
    ):  # fmt: skip
        (folder / name).mkdir()
        for split, columns in splits.items():
            Dataset.from_dict(columns, features=Features(features)).to_parquet(folder / name / f"{split}.parquet")
    return folder


@pytest.fixture(params=["tfds", "hf"])
def catalogue(request, monkeypatch, tmp_path):
    """Returns function from `reviews` to the name of the small set in the library's catalogue."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    if request.param == "tfds":
        folder = request.getfixturevalue("tfds_folder")
        monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
        return lambda name: f"tfds:small_{name}"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "hf"))
    folder = request.getfixturevalue("hugging_face_folder")
    return lambda name: f"hf:{folder}/{name}"


@pytest.mark.parametrize("name", READ)
def test_read_as_data_of_a_task(catalogue, name, tmp_path):
    task, split, rows = READ[name]
    path = catalogues.path_of(catalogue(name), split, tmp_path)
    assert files.read(path, TASKS[task], files.ANY if task != "sentiment" else ["negative", "positive"]) == rows
    written = path.stat().st_mtime_ns
    assert catalogues.path_of(catalogue(name), split, tmp_path).stat().st_mtime_ns == written  # not written again


def test_splits(catalogue, tmp_path):
    rows = [json.loads(line) for line in catalogues.path_of(catalogue("reviews"), "dev", tmp_path).open()]
    assert rows == [{"text": "so so", "label": "-1"}, {"text": "ok", "label": "positive"}]
    first = catalogues.path_of(f"{catalogue('reviews')}:train[:1]", "dev", tmp_path).read_text(encoding="utf-8")
    assert json.loads(first) == {"text": "好片", "label": "positive"}
    with pytest.raises(Mistake, match=r"expected one of its splits \(train\), received validation; name one: .*:SPLIT"):
        catalogues.path_of(catalogue("tags"), "dev", tmp_path)


def test_a_run_trains_on_it(catalogue, bert_folder, tmp_path, capsys):
    options = ["--init", bert_folder, "--max_length", 16, "--epochs", 1, "--out", tmp_path / "run"]
    name = catalogue("reviews")
    status, out, err = cli(capsys, "finetune", "sentiment", "--train", name, "--dev", f"{name}:train", *options)
    assert status == 0 and json.loads(out)["final"]["examples"] == 3, err
    assert len(out.splitlines()) == 1  # nothing of the library's on standard output


def test_tfds_prepared_again_is_read_again(tfds_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    path = catalogues.path_of("tfds:small_tags", "train", tmp_path)
    path.write_text("old\n")
    assert catalogues.path_of("tfds:small_tags", "train", tmp_path) == path
    os.utime(tfds_folder / "small_tags" / "1.0.0")
    assert "old" not in catalogues.path_of("tfds:small_tags", "train", tmp_path).read_text()


@pytest.mark.parametrize(
    "name, library", [("tfds:glue/sst2", "tensorflow_datasets"), ("hf:nyu-mll/glue/sst2", "datasets")]
)
def test_without_the_library(name, library, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Mistake, match=rf"{name}: expected its library \(pip install .*\), found no {library}"):
        catalogues.path_of(name, "train", tmp_path)


def test_unknown_names(tfds_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    with pytest.raises(Mistake, match="no such data set in TensorFlow Datasets"):
        catalogues.path_of("tfds:nobody_has_this", "train", tmp_path)
    for name in ("tfds:", "hf:"):
        with pytest.raises(Mistake, match="expected tfds:NAME, hf:NAME"):
            catalogues.path_of(name, "train", tmp_path)
