"""`--features`: a pretrained encoder as what another model, or the head, reads; trained and exported."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.conftest import cli, write_examples
from tests.trainer.architectures.test_lineage import PAIRS, check_export
from trainer.runs.blueprint import Blueprint
from trainer.runs.run import tokenizer_files

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "very", "good", "bad", "中", "国", "人", "好", "坏"]
SIZES = ["layers=1", "width=8", "cell_width=8", "letters=4"]
TOP = ["--model=gru", "--settings", "pooling=maximum", "width=8", "embedding_width=8", "letters=4"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Random weights of a tiny ELMo, as a folder."""
    folder = tmp_path_factory.mktemp("elmo")
    blueprint = Blueprint.new("elmo", WORDS, lower_case=False, unit="words", settings=SIZES)
    model = blueprint.architecture.build(blueprint.config, {}, seed=0)
    (folder / "model.safetensors").write_bytes(blueprint.architecture.to_bytes(model))
    (folder / "config.json").write_text(json.dumps(blueprint.architecture.to_settings(blueprint.config)))
    for name, content in tokenizer_files(blueprint.tokenizer).items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def train(capsys, task, out, *flags, epochs=2):
    options = [f"--out={out}", f"--epochs={epochs}", "--learning_rate=0.02", "--seed=1", "--max_length=32", *flags]
    status, printed, err = cli(capsys, "finetune", task, *options)
    assert status == 0, err
    return json.loads(printed), err


def test_elmo_for_a_gru(encoder, capsys, tmp_path):
    """The encoder keeps its weights to the bit; what was mixed is said; exports answer."""
    path = write_examples(tmp_path / "train.txt", 240)
    flags = [f"--train={path}", f"--dev={path}", "--dev_limit=24", f"--init={encoder}", "--features=frozen", *TOP]
    result, err = train(capsys, "sentiment", tmp_path / "run", *flags)
    assert "new: mix, top, classifier; in the file but not used: none" in err
    assert "features  a mix of all layers, whose weights are learned, which keep their weights; read by gru" in err
    assert "whose vocabulary is made of the training texts" in err  # the encoder reads letters alone
    assert result["final"]["accuracy"] > 0.8
    shares = [result["final"][f"weight_{i}"] for i in range(2)]
    assert sum(shares) == pytest.approx(1, abs=2e-4) and len({*shares}) > 1 and result["final"]["scale"] != 1
    before, after = (load_file(folder / "model.safetensors") for folder in (encoder, tmp_path / "run"))
    assert all(np.array_equal(after[name], value) for name, value in before.items())
    check_export(capsys, "sentiment", tmp_path / "run", [{"text": "good film"}, {"text": ""}], tmp_path)


def test_two_texts(encoder, capsys, tmp_path):
    """Each is read apart, and both encoder and what reads it are trained."""
    rows = [{"premise": a, "hypothesis": b, "label": label} for a, b, label in PAIRS]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    flags = [f"--train={tmp_path / 'train.jsonl'}", f"--init={encoder}", "--features=finetune", "--layers=last", *TOP]
    _, err = train(
        capsys, "nli", tmp_path / "run", *flags, "pair_width=8", "--freeze=embeddings", "--layer_decay=0.5", epochs=1
    )
    assert "the last layer, which are trained as well" in err and "(frozen: embeddings)" in err
    before, after = (load_file(folder / "model.safetensors") for folder in (encoder, tmp_path / "run"))
    changed = {name.split("/")[0] for name, value in before.items() if not np.array_equal(after[name], value)}
    assert changed == {"layer_0_forward", "layer_0_backward"}


def test_the_head_reads_a_layer_of_bert(bert_folder, capsys, tmp_path):
    path = write_examples(tmp_path / "train.txt", 32)
    flags = [f"--train={path}", f"--init={bert_folder}", "--features=frozen", "--layers=0"]
    _, err = train(capsys, "sentiment", tmp_path / "run", *flags, epochs=1)
    assert "layer 0 (0: the embeddings), which keep their weights; read by the head" in err
    names = {*load_file(tmp_path / "run" / "model.safetensors")}
    assert not any(".layer." in name for name in names)  # what is not read is not kept
    flags = [f"--train={path}", f"--init={tmp_path / 'run'}", "--features=frozen"]
    status, _, err = cli(capsys, "finetune", "sentiment", *flags, f"--out={tmp_path / 'other'}")
    assert status == 2 and "--features: expected a pretrained encoder as --init, received BERT as features" in err


def test_what_makes_no_sense(encoder, capsys, tmp_path):
    path = write_examples(tmp_path / "train.txt", 8)
    begun = [f"--train={path}", f"--out={tmp_path / 'run'}"]
    for flags, message in (
        (["--features=frozen", "--model=bilstm"], "--features: expected with --init, whose layers are read"),
        (["--init=nano", "--layers=mix"], "--layers: expected with --features, received without"),
        (["--init=nano", "--features=cold"], "--features: expected frozen or finetune, received cold"),
        ([f"--init={encoder}", "--features=frozen", "--layers=2"], "to 1, received 2"),
        ([f"--init={encoder}", "--features=frozen", *TOP, "letters=5"], "--settings letters: expected 4"),
        (
            ["--init=nano", "--features=frozen", "--model=gru", "--unit=words"],
            "--unit: expected without --init, or with",
        ),
        ([f"--init={encoder}", "--features=frozen", "--layers=top"], "expected mix, last or a number, received top"),
        ([f"--init={encoder}", "--features=frozen", "--model=bag"], "expected a recurrent network as --model"),
        ([f"--init={encoder}", "--features=frozen", "--freeze=1"], "--freeze: expected without --features frozen"),
    ):
        status, out, err = cli(capsys, "finetune", "sentiment", *begun, *flags)
        assert (status, out) == (2, "") and message in err.splitlines()[-1], err
    assert not (tmp_path / "run").exists()
