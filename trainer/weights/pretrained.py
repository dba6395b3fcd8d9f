"""Folders of pretrained BERT weights, in the two forms that they are published in, read.

    Hugging Face   config.json       model.safetensors   vocab.txt   tokenizer_config.json
    Google         bert_config.json  bert_model.ckpt.*   vocab.txt   (a TensorFlow 1 checkpoint; read without its code)

What an optimiser left in a checkpoint is passed over by its name. See `trainer.weights.bert` for the names of tensors.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from trainer.weights.bert import DEFAULTS, hugging_face_name
from trainer.weights.tensors import TensorFile

OPTIMISER = re.compile(r"(/adam_[mv]|/Adam(_1)?|^global_step|^beta[12]_power)$")


def is_google(folder: str | Path) -> bool:
    """Says whether a folder is of Google's form; one with the files of both is Hugging Face's, if it has safetensors."""
    folder = Path(folder)
    if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
        return False
    return (folder / "bert_config.json").is_file() or (folder / "bert_model.ckpt.index").is_file()


def read_config(folder: str | Path) -> tuple[dict[str, Any], Path]:
    """Returns (the configuration of a folder of either form, under Hugging Face's keys; its file), unchecked.

    Raises:
        FileNotFoundError, ValueError: No such file; it holds something else.
    """
    folder, google = Path(folder), is_google(folder)
    path = folder / ("bert_config.json" if (folder / "bert_config.json").is_file() and google else "config.json")
    if not path.is_file():
        names = sorted(path.name for path in folder.iterdir())[:5] if folder.is_dir() else []
        raise FileNotFoundError(
            f"{path}: not found; expected a Hugging Face folder (config.json, model.safetensors, vocab.txt) or one of "
            f"Google's (bert_config.json, bert_model.ckpt.*, vocab.txt), found {', '.join(names) or 'nothing'}"
        )
    config = read_json(path)
    if google or config.get("model_type") == "bert":
        config = DEFAULTS | {"model_type": "bert"} | config
    return config, path


def read_json(path: str | Path) -> dict[str, Any]:
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


def read_tokenizer(folder: str | Path) -> tuple[bytes, bool]:
    """Returns (the vocabulary as the bytes of a `vocab.txt`, whether text is lower-cased) of a folder of either form.

    The vocabulary is `vocab.txt`, else that of `tokenizer.json`, the only file that transformers 5 writes. Whether text is
    lower-cased is read from `tokenizer_config.json`, else from that `tokenizer.json`; else it is, as in transformers, in Hugging
    Face's form, and follows from the vocabulary in Google's.

    Raises:
        OSError, ValueError: A file cannot be read; a setting that Google's reference tokenisation does not have.
    """
    config_path, json_path = Path(folder) / "tokenizer_config.json", Path(folder) / "tokenizer.json"
    config = read_json(config_path) if config_path.is_file() else {}
    if json_path.is_file() and not (Path(folder) / "vocab.txt").is_file():
        content, normalizer = _read_word_pieces(json_path)
        default = normalizer.get("lowercase", True)
    else:
        content, normalizer = (Path(folder) / "vocab.txt").read_bytes(), {}
        guessed = not config_path.is_file() and is_google(folder)
        default = is_lower_case(content.decode().splitlines()) if guessed else True
    lower_case = config.get("do_lower_case", default)
    for path, settings, names in (
        (config_path, config, ("do_lower_case", "strip_accents", "tokenize_chinese_chars")),
        (json_path, normalizer, ("lowercase", "strip_accents", "handle_chinese_chars")),
    ):
        for name, supported in zip(names, ((lower_case,), (None, lower_case), (True,)), strict=True):
            if settings.get(name, supported[0]) not in supported:
                raise ValueError(
                    f"{path}: {name} is {settings[name]}, expected {supported[0]} with do_lower_case {lower_case}"
                )
    return content, lower_case


def _read_word_pieces(path):
    """Returns (the vocabulary as the bytes of a `vocab.txt`, the settings of the normalizer) of a `tokenizer.json`."""
    settings = read_json(path)
    try:
        normalizer, model = settings["normalizer"], settings["model"]
        ids, types = model["vocab"], [normalizer["type"], model["type"]]
        if types != ["BertNormalizer", "WordPiece"] or model["continuing_subword_prefix"] != "##":
            raise ValueError(f"{path}: expected BERT's word pieces, found {' and '.join(types)}")
        pieces = sorted(ids, key=ids.get)
        if [ids[piece] for piece in pieces] != list(range(len(ids))):
            raise ValueError(f"{path}: expected pieces numbered from 0 without a gap, found others")
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: expected BERT's word pieces, found something else") from None
    return ("\n".join(pieces) + "\n").encode(), normalizer


def tokenizer_config(lower_case: bool, unit: str = "pieces", fallback: str | int = "unk") -> dict[str, Any]:
    """Returns the content of the `tokenizer_config.json` that this project writes; see `trainer.text.tokenizer.Tokenizer`."""
    if unit == "pieces":
        return {"tokenizer_class": "BertTokenizer", "do_lower_case": lower_case}
    return {"do_lower_case": lower_case, "unit": unit, "unknown": fallback}


def read_unit(folder: str | Path) -> tuple[str, str | int]:
    """Returns (the unit that text is read in, what an unknown word becomes) of a folder; BERT's, if it does not say.

    Raises:
        OSError, ValueError: The file cannot be read; it holds something else.
    """
    path = Path(folder) / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    unit, unknown = config.get("unit", "pieces"), config.get("unknown", "unk")
    if not isinstance(unit, str) or not isinstance(unknown, str | int):
        raise ValueError(f"{path}: expected unit and unknown as this project writes them, found {unit}, {unknown}")
    return unit, unknown


def is_lower_case(vocabulary: list[str]) -> bool:
    """Says whether a vocabulary is one of lower-cased text: at most a hundredth of its pieces have capitals.

    In Google's cased vocabulary a third of the pieces have them, in its Chinese one (lower-cased) two of 21,128.
    """
    pieces = [piece for piece in vocabulary if not re.fullmatch(r"\[.*\]", piece)]
    return sum(bool(re.search("[A-Z]", piece)) for piece in pieces) <= len(pieces) / 100


def read_tensors(folder: str | Path) -> TensorFile:
    """Returns the `TensorFile` of a folder of either form.

    Raises:
        FileNotFoundError, ValueError: The file of weights is missing, or is not one.
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
    readers: dict[str, Callable[[], np.ndarray]] = {
        modern: partial(file.get_tensor, name) for modern, name in names.items()
    }
    return TensorFile(path, readers, names, 0)


def _modern(name):
    """Returns a tensor's present name: old conversions call the scale and shift of layer normalisation gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _read_checkpoint(folder):
    import tensorflow as tf

    errors = (tf.errors.OpError, ValueError, RuntimeError, IndexError)  # raised by the reader for damaged files
    prefixes = [path.with_suffix("") for path in folder.glob("*.index")]
    prefix = folder / "bert_model.ckpt"
    if prefix not in prefixes:
        if len(prefixes) != 1:
            names = ", ".join(sorted(path.name for path in prefixes)) or "none"
            raise FileNotFoundError(f"{prefix}.index: not found; expected one checkpoint, found {names}")
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

    variables = list(reader.get_variable_to_shape_map())
    weights = [name for name in variables if not OPTIMISER.search(name)]
    readers: dict[str, Callable[[], np.ndarray]] = {}
    originals: dict[str, str] = {}
    for name in weights:
        published, transposed = hugging_face_name(name)
        if published in originals:
            raise ValueError(
                f"{prefix}.*: {name} and {originals[published]} are one tensor by Hugging Face's names, {published}"
            )
        readers[published] = partial(read, name, transposed)
        originals[published] = name
    return TensorFile(prefix, readers, originals, len(variables) - len(weights))
