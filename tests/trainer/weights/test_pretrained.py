"""Both forms of pretrained weights: the same tensors, bit for bit; conversion loses nothing."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tests.conftest import DATA, VOCABULARY, encoder_of, needs, write_bert_folder
from trainer.errors import Mistake
from trainer.runs.blueprint import Blueprint
from trainer.tasks.table import TASKS
from trainer.weights import convert, hub, pretrained
from trainer.weights.bert import encoder_table, google_name, hugging_face_name

TINY = DATA / "tiny-checkpoints" / "keras-bert-test-checkpoint"  # Google's form, with Adam's slots


def hidden_states(folder):
    model, _ = encoder_of(folder)
    ids = np.random.default_rng(0).integers(5, model.get_layer("token_embedding").input_dim, [3, 12]).astype("int32")
    outputs = model({"token_ids": ids, "segment_ids": ids % 2, "mask": np.ones([3, 12], bool)}, training=False)
    return [*outputs["hidden_states"], outputs["pooled"]]


def assert_same_states(first, second):
    for actual, expected in zip(hidden_states(first), hidden_states(second), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_names_go_both_ways():
    heads = ["cls.predictions.bias", "cls.predictions.transform.dense.weight", "cls.seq_relationship.weight"]
    heads += ["cls.predictions.transform.LayerNorm.bias", "classifier.weight", "qa_outputs.bias"]
    names = [name for stored in encoder_table(12).values() for name in stored.names] + heads
    for name in names:
        google, transposed = google_name(name)
        assert "." not in google and hugging_face_name(google) == (name, transposed)
    assert google_name("bert.encoder.layer.11.attention.self.query.weight") == (
        "bert/encoder/layer_11/attention/self/query/kernel",
        True,
    )
    assert google_name("bert.embeddings.word_embeddings.weight") == (
        "bert/embeddings/word_embeddings",
        False,
    )


@needs(TINY)
def test_a_checkpoint_of_googles_code():
    reader = tf.train.load_checkpoint(str(TINY / "bert_model.ckpt"))
    variables = reader.get_variable_to_shape_map()
    assert len(variables) == 139
    tensors = pretrained.read_tensors(TINY)
    assert len(tensors.readers) + tensors.passed_over == 139
    assert not any("adam" in name or "global_step" in name for name in tensors.names.values())
    model, unused = encoder_of(TINY)
    assert unused == sorted(name for name in variables if name.startswith("cls/") and "adam" not in name)
    kernel = model.get_layer("layer_1_attention_qkv").kernel.numpy()
    for i, projection in enumerate(("query", "key", "value")):
        expected = reader.get_tensor(f"bert/encoder/layer_1/attention/self/{projection}/kernel")
        np.testing.assert_array_equal(kernel[:, 4 * i : 4 * i + 4], expected)
    np.testing.assert_array_equal(
        model.get_layer("embedding_norm").gamma, reader.get_tensor("bert/embeddings/LayerNorm/gamma")
    )


@needs(TINY)
def test_google_to_hugging_face_and_back(tmp_path):
    result = convert.convert(TINY, tmp_path / "hf")
    assert (result["form"], result["tensors"], result["left_out"]) == (
        "Hugging Face",
        46,
        ["93 variables of an optimiser"],
    )
    assert_same_states(TINY, tmp_path / "hf")
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["architectures"] == ["BertForPreTraining"]
    convert.convert(tmp_path / "hf", tmp_path / "google")
    original, converted = pretrained.read_tensors(TINY), pretrained.read_tensors(tmp_path / "google")
    assert original.names == converted.names and converted.passed_over == 0
    for name, read in original.readers.items():
        np.testing.assert_array_equal(read(), converted.readers[name]())
    assert Blueprint.of_weights(tmp_path / "google").tokenizer.lower_case is True


def test_minilm_in_googles_form_gives_the_same_states_bit_for_bit(tmp_path):
    folder = hub.folder_of("minilm")
    result = convert.convert(folder, tmp_path / "google")
    assert (result["form"], result["tensors"], result["left_out"]) == ("Google", 103, ["embeddings.position_ids"])
    assert sorted(path.name for path in (tmp_path / "google").iterdir()) == [
        "bert_config.json", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index", "tokenizer_config.json",
        "vocab.txt",
    ]  # fmt: skip
    assert_same_states(folder, tmp_path / "google")


def test_what_has_no_name_in_the_other_form_is_said(tmp_path):
    write_bert_folder(tmp_path / "hf")
    path = tmp_path / "hf" / "model.safetensors"
    tensors = load_file(path)
    words = tensors["bert.embeddings.word_embeddings.weight"]
    save_file(tensors | {"cls.predictions.decoder.weight": words}, path)
    assert convert.convert(tmp_path / "hf", tmp_path / "tied")["left_out"] == ["cls.predictions.decoder.weight"]
    for name, tensor in (("cls.predictions.decoder.weight", words + 1), ("adapter.gamma", words)):
        save_file(tensors | {name: tensor}, path)
        with pytest.raises(ValueError, match=f"tensor {name} has no name in the other form"):
            convert.convert(tmp_path / "hf", tmp_path / "new")


def test_a_run_keeps_its_head_on_the_way(run_folder, tmp_path):
    for source, to in ((run_folder, tmp_path / "google"), (tmp_path / "google", tmp_path / "hf")):
        convert.convert(source, to)
    assert "output_weights" in pretrained.read_tensors(tmp_path / "google").names.values()
    models = []
    for folder in (run_folder, tmp_path / "google", tmp_path / "hf"):
        blueprint = Blueprint.of_weights(folder)
        model = blueprint.model(TASKS["sentiment"], 2)
        assert blueprint.load(model, folder) == []
        models.append(blueprint.architecture.to_bytes(model))
        assert blueprint.config.others["id2label"] == {"0": "negative", "1": "positive"}
    assert models[0] == models[1] == models[2]


@pytest.mark.parametrize("vocabulary, lower_case", [(VOCABULARY, False), ([w.lower() for w in "abc"], True)])
def test_case_of_a_folder_without_tokenizer_config(tmp_path, vocabulary, lower_case):
    (tmp_path / "bert_config.json").write_text("{}")
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    assert pretrained.read_tokenizer(tmp_path)[1] is lower_case
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not lower_case}))
    assert pretrained.read_tokenizer(tmp_path)[1] is not lower_case


def test_what_cannot_be_read_is_said(tmp_path):
    write_bert_folder(tmp_path / "hf")
    convert.convert(tmp_path / "hf", tmp_path / "google")
    blueprint = Blueprint.of_weights(tmp_path / "google")
    model = blueprint.model(TASKS["sentiment"], 2)
    assert blueprint.load(model, tmp_path / "google", ignore=("classifier",)) == []

    data, index = (tmp_path / "google" / f"bert_model.ckpt.{suffix}" for suffix in ("data-00000-of-00001", "index"))
    shutil.copytree(tmp_path / "google", tmp_path / "renamed")
    for suffix in ("data-00000-of-00001", "index"):
        (tmp_path / "renamed" / f"bert_model.ckpt.{suffix}").rename(tmp_path / "renamed" / f"model.ckpt-7.{suffix}")
    assert blueprint.load(model, tmp_path / "renamed", ignore=("classifier",)) == []

    content = data.read_bytes()
    for damage, message in (
        (lambda: data.write_bytes(content[:-8]), "cannot be read; a part is missing or damaged"),
        (data.unlink, "bert_model.ckpt"),
        (lambda: index.write_bytes(b"nothing"), "expected a TensorFlow checkpoint"),
        (index.unlink, "bert_model.ckpt.index: not found; expected one checkpoint, found none"),
    ):
        damage()
        with pytest.raises(Mistake, match=message) as raised:
            blueprint.load(model, tmp_path / "google", ignore=("classifier",))
        assert "\n" not in str(raised.value)
    with pytest.raises(FileExistsError, match="not there yet or empty"):
        convert.convert(tmp_path / "hf", tmp_path)
    assert not list(tmp_path.glob(".*.part"))


def test_a_vocabulary_as_transformers_5_writes_it(bert_folder, tmp_path):
    shutil.copytree(bert_folder, tmp_path / "new")
    (tmp_path / "new" / "vocab.txt").unlink()
    path = tmp_path / "new" / "tokenizer.json"
    ids = {piece: i for i, piece in enumerate(VOCABULARY)}
    settings = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "model": {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": dict(sorted(ids.items()))},
    }
    path.write_text(json.dumps(settings))
    assert Blueprint.of_weights(tmp_path / "new").tokenizer.vocabulary == VOCABULARY
    for change, message in (
        ({"model": settings["model"] | {"type": "BPE"}}, "expected BERT's word pieces, found BertNormalizer and BPE"),
        ({"model": settings["model"] | {"vocab": ids | {"more": 1000}}}, "numbered from 0 without a gap"),
        ({"normalizer": None}, "expected BERT's word pieces, found something else"),
        (
            {"normalizer": settings["normalizer"] | {"handle_chinese_chars": False}},
            "handle_chinese_chars is False, expected True",
        ),
    ):
        path.write_text(json.dumps(settings | change))
        with pytest.raises(Mistake, match=message):
            Blueprint.of_weights(tmp_path / "new")
    path.write_text(json.dumps(settings | {"normalizer": settings["normalizer"] | {"lowercase": False}}))
    assert not Blueprint.of_weights(tmp_path / "new").tokenizer.lower_case
    (tmp_path / "new" / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(Mistake, match="lowercase is False, expected True"):
        Blueprint.of_weights(tmp_path / "new")
