"""Folders of pretrained BERT weights, in the two forms that they are published in, read.

    Hugging Face   config.json       model.safetensors   vocab.txt   tokenizer_config.json
    Google         bert_config.json  bert_model.ckpt.*   vocab.txt   (a TensorFlow 1 checkpoint; read without its code)

Tensors go by Hugging Face's names everywhere else in this project. Google's names follow from them by `google_name`; its
kernels are [in, out], Hugging Face's [out, in]. What an optimiser left in a checkpoint is passed over by its name.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

# Hugging Face's `config.json` -> arguments of `models.bert.bert`
ARGUMENTS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "intermediate_size": "feed_forward",
    "max_position_embeddings": "positions",
    "type_vocab_size": "segments",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "epsilon",
}
ACTIVATIONS = ("gelu", "relu", "silu")  # of the same name and meaning in Keras
DEFAULTS = {  # of google-research/bert's code and of transformers' `BertConfig`: a file need not say them
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
}
OPTIMISER = re.compile(r"(/adam_[mv]|/Adam(_1)?|^global_step|^beta[12]_power)$")

# Where Google's name is not Hugging Face's with slashes: the heads.
HEADS = {
    "cls.predictions.bias": "cls/predictions/output_bias",
    "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    "classifier.weight": "output_weights",  # run_classifier.py
    "classifier.bias": "output_bias",
    "qa_outputs.weight": "cls/squad/output_weights",  # run_squad.py
    "qa_outputs.bias": "cls/squad/output_bias",
}
HEADS_OF_GOOGLE = {theirs: ours for ours, theirs in HEADS.items()}


def google_name(name):
    """Returns the name in Google's checkpoints of a tensor of Hugging Face's, and whether it lies there transposed."""
    if name in HEADS:
        return HEADS[name], False
    name = re.sub(r"\blayer\.(\d+)", r"layer_\1", name).replace("LayerNorm.weight", "LayerNorm.gamma")
    name = name.replace("LayerNorm.bias", "LayerNorm.beta").replace("_embeddings.weight", "_embeddings")
    transposed = name.endswith(".weight")
    return re.sub(r"\.weight$", ".kernel", name).replace(".", "/"), transposed


def hugging_face_name(name):
    """The way back from `google_name`: (name of Hugging Face's, whether it lies there transposed)."""
    if name in HEADS_OF_GOOGLE:
        return HEADS_OF_GOOGLE[name], False
    transposed = name.endswith("/kernel")
    name = re.sub(r"/(kernel|gamma)$", ".weight", re.sub(r"/beta$", ".bias", name))
    name = re.sub(r"_embeddings$", "_embeddings.weight", name)
    return re.sub(r"\blayer_(\d+)", r"layer.\1", name).replace("/", "."), transposed


@dataclass(frozen=True)
class Tensors:
    """What a folder holds: how to read each tensor, by Hugging Face's names and in its layout."""

    path: Path  # of the file, for messages
    readers: dict[str, Callable]  # name -> function that reads it, an array
    names: dict[str, str]  # name -> that in the file
    passed_over: int  # variables of an optimiser


def is_google(folder):
    """Says whether a folder is of Google's form; one of both forms counts as Hugging Face's where it has safetensors."""
    folder = Path(folder)
    if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
        return False
    return (folder / "bert_config.json").is_file() or (folder / "bert_model.ckpt.index").is_file()


def read_config(folder):
    """Returns (the configuration of a folder of either form, under Hugging Face's keys; its file); BERT's is not checked.

    Raises:
        FileNotFoundError, ValueError: No such file; it holds something else.
    """
    folder, google = Path(folder), is_google(folder)
    path = folder / ("bert_config.json" if (folder / "bert_config.json").is_file() and google else "config.json")
    if not path.is_file():
        held = sorted(path.name for path in folder.iterdir())[:5] if folder.is_dir() else []
        raise FileNotFoundError(
            f"{path}: not found; expected a Hugging Face folder (config.json, model.safetensors, vocab.txt) or one of "
            f"Google's (bert_config.json, bert_model.ckpt.*, vocab.txt), found {', '.join(held) or 'nothing'}"
        )
    config = read_json(path)
    if google or config.get("model_type") == "bert":
        config = DEFAULTS | {"model_type": "bert"} | config
    return config, path


def check_config(config, path):
    """Refuses a configuration of BERT.

    Raises:
        ValueError: Another model type; a setting that our BERT does not have, or one that is missing.
    """
    for key, supported in (
        ("model_type", ["bert"]),
        ("position_embedding_type", ["absolute", None]),
        ("hidden_act", ACTIVATIONS),
    ):
        if config.get(key) not in supported:
            raise ValueError(f"{path}: {key} is {config.get(key)!r}, expected {supported[0]!r}")
    missing = [key for key in ("vocab_size", *ARGUMENTS) if key not in config]
    if missing:
        raise ValueError(f"{path}: {', '.join(missing)} missing")


def read_json(path):
    """Returns the JSON object that a file holds.

    Raises:
        OSError, ValueError: It cannot be read; it holds something else.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def read_tokenizer(folder):
    """Returns (the vocabulary as the bytes of a `vocab.txt`, whether text is lower-cased) of a folder of either form.

    The vocabulary is `vocab.txt`, else that of `tokenizer.json`, which is all that transformers 5 writes. Lower case is as
    `tokenizer_config.json` says; else as that `tokenizer.json` does; else, of Hugging Face's form: yes, as in `transformers`;
    of Google's: as its vocabulary shows.

    Raises:
        OSError, ValueError: A file cannot be read; a setting that Google's reference tokenisation does not have.
    """
    path, other = Path(folder) / "tokenizer_config.json", Path(folder) / "tokenizer.json"
    settings = read_json(path) if path.is_file() else {}
    if other.is_file() and not (Path(folder) / "vocab.txt").is_file():
        content, normalizer = _read_word_pieces(other)
        usual = normalizer.get("lowercase", True)
    else:
        content, normalizer = (Path(folder) / "vocab.txt").read_bytes(), {}
        guessed = not path.is_file() and is_google(folder)
        usual = is_lower_case(content.decode().splitlines()) if guessed else True
    lower_case = settings.get("do_lower_case", usual)
    for file, found, names in (
        (path, settings, ("do_lower_case", "strip_accents", "tokenize_chinese_chars")),
        (other, normalizer, ("lowercase", "strip_accents", "handle_chinese_chars")),
    ):
        for name, supported in zip(names, ((lower_case,), (None, lower_case), (True,)), strict=True):
            if found.get(name, supported[0]) not in supported:
                raise ValueError(
                    f"{file}: {name} is {found[name]}, expected {supported[0]} with do_lower_case {lower_case}"
                )
    return content, lower_case


def _read_word_pieces(path):
    """Returns (the vocabulary as the bytes of a `vocab.txt`, the settings of the normalizer) of a `tokenizer.json`."""
    settings = read_json(path)
    try:
        normalizer, model = settings["normalizer"], settings["model"]
        ids, kinds = model["vocab"], [normalizer["type"], model["type"]]
        if kinds != ["BertNormalizer", "WordPiece"] or model["continuing_subword_prefix"] != "##":
            raise ValueError(f"{path}: expected BERT's word pieces, found {' and '.join(kinds)}")
        pieces = sorted(ids, key=ids.get)
        if [ids[piece] for piece in pieces] != list(range(len(ids))):
            raise ValueError(f"{path}: expected pieces numbered from 0 without a gap, found others")
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: expected BERT's word pieces, found something else") from None
    return ("\n".join(pieces) + "\n").encode(), normalizer


def tokenizer_config(lower_case):
    """Returns what a `tokenizer_config.json` of ours holds."""
    return {"tokenizer_class": "BertTokenizer", "do_lower_case": lower_case}


def is_lower_case(vocabulary):
    """Says whether a vocabulary is one of lower-cased text: at most a hundredth of its pieces have capitals.

    A cased vocabulary of Google's has them in a third of its pieces, the Chinese one (lower-cased) in two of 21,128.
    """
    words = [piece for piece in vocabulary if not re.fullmatch(r"\[.*\]", piece)]
    return sum(bool(re.search("[A-Z]", word)) for word in words) <= len(words) / 100


def read_tensors(folder):
    """Returns the `Tensors` of a folder of either form.

    Raises:
        FileNotFoundError, ValueError: the file is not there, or is another one.
    """
    return (_read_checkpoint if is_google(folder) else _read_safetensors)(Path(folder))


def _read_safetensors(folder):
    path = folder / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the weights in safetensors form")
    try:
        file = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected the weights in safetensors form, found another file or a part ({error})"
        ) from None
    names = {_modern(name): name for name in list(file.keys())}
    return Tensors(path, {ours: lambda name=name: file.get_tensor(name) for ours, name in names.items()}, names, 0)


def _modern(name):
    """Old conversions of Google's weights call the scale and shift of layer normalisation gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _read_checkpoint(folder):
    import tensorflow as tf

    errors = (tf.errors.OpError, ValueError, RuntimeError, IndexError)  # what the reader raises at damaged files
    prefixes = [path.with_suffix("") for path in folder.glob("*.index")]
    prefix = folder / "bert_model.ckpt"
    if prefix not in prefixes:
        if len(prefixes) != 1:
            found = ", ".join(sorted(path.name for path in prefixes)) or "none"
            raise FileNotFoundError(f"{prefix}.index: not found; expected one checkpoint, found {found}")
        prefix = prefixes[0]  # a fine-tuned one: model.ckpt-1000
    try:
        reader = tf.train.load_checkpoint(str(prefix))
    except errors as error:
        raise ValueError(
            f"{prefix}.*: expected a TensorFlow checkpoint, found another file or a part ({error})"
        ) from None

    def read(name, transposed):
        try:
            tensor = reader.get_tensor(name)
        except errors as error:
            raise ValueError(f"{prefix}.*: {name} cannot be read; a part is missing or damaged ({error})") from None
        return tensor.T if transposed else tensor

    found = list(reader.get_variable_to_shape_map())
    weights = [name for name in found if not OPTIMISER.search(name)]
    readers, names = {}, {}
    for name in weights:
        ours, transposed = hugging_face_name(name)
        if ours in names:
            raise ValueError(f"{prefix}.*: {name} and {names[ours]} are one tensor by Hugging Face's names, {ours}")
        readers[ours] = lambda name=name, transposed=transposed: read(name, transposed)
        names[ours] = name
    return Tensors(prefix, readers, names, len(found) - len(weights))
