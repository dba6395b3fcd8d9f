"""Conversion of pretrained weights from one form to the other: Google's <-> Hugging Face's, see `trainer.weights.pretrained`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from trainer.weights import bert, pretrained
from trainer.writing import new_folder


def convert(source: str | Path, to: str | Path) -> dict[str, Any]:
    """Writes a folder of the other form: Google's from Hugging Face's, Hugging Face's from Google's, heads included.

    Every tensor is read back and compared, bit for bit, before the folder appears under its name.

    Args:
        source: Folder of either form; a run folder is one of Hugging Face's.
        to: Folder to write.

    Returns:
        {"form", "path", "tensors", "parameters", "left_out"}: `left_out` names what the other form has no place for.

    Raises:
        FileNotFoundError, ValueError: `source` cannot be read, or holds a tensor that has no name in the other form; `to` cannot
            be made.
        FileExistsError: `to` exists and is not empty.
        OSError: `to` cannot be written.
    """
    source, to = Path(source), Path(to)
    from_google = pretrained.is_google(source)
    config, path = pretrained.read_config(source)
    bert.check_config(config, path)
    tensors = pretrained.read_tensors(source)
    vocabulary, lower_case = pretrained.read_tokenizer(source)
    unit, _ = pretrained.read_unit(source)
    if unit != "pieces":
        raise ValueError(f"{source}: expected a model that reads word pieces, found one that reads {unit}")
    content, left_out = _content(tensors)
    write = _write_hugging_face if from_google else _write_checkpoint
    with new_folder(to) as temporary:
        write(temporary, config, content)
        (temporary / "vocab.txt").write_bytes(vocabulary)
        settings = pretrained.tokenizer_config(lower_case)
        (temporary / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
        file = pretrained.read_tensors(temporary)
        for name, tensor in content.items():
            written = file.readers[name]()
            if written.dtype != tensor.dtype or written.tobytes() != tensor.tobytes():
                raise OSError(f"{to}: {name} was not written as it was read")
    return {
        "form": "Hugging Face" if from_google else "Google",
        "path": str(to),
        "tensors": len(content),
        "parameters": sum(tensor.size for tensor in content.values()),
        "left_out": left_out + [f"{tensors.passed_over} variables of an optimiser"] * (tensors.passed_over > 0),
    }


def _content(tensors):
    """Returns {name with the encoder's prefix: array} of all that has a name in both forms, and what was left out."""
    bare = not any(name.startswith(bert.PREFIX) for name in tensors.readers)
    ties = {  # copies of another tensor, which older versions of transformers saved
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    content, left_out = {}, []
    for name in sorted(tensors.readers):
        head = name.split(".")[0] in ("cls", "classifier", "qa_outputs")
        full = name if head or not bare else bert.PREFIX + name
        google, transposed = bert.google_name(full)
        tied = tensors.readers.get(ties[name]) if name in ties else None
        if name.endswith("position_ids") or (tied and np.array_equal(tied(), tensors.readers[name]())):
            left_out.append(tensors.names[name])
        elif name in ties or bert.hugging_face_name(google) != (full, transposed):
            raise ValueError(f"{tensors.path}: tensor {tensors.names[name]} has no name in the other form of a BERT")
        else:
            content[full] = np.ascontiguousarray(tensors.readers[name]())
    return content, left_out


def _write_hugging_face(folder, config, content):
    heads = {
        "cls": "BertForPreTraining",
        "classifier": "BertForSequenceClassification",
        "qa_outputs": "BertForQuestionAnswering",
    }
    classes = [class_name for head, class_name in heads.items() if any(name.split(".")[0] == head for name in content)]
    if classes == ["BertForSequenceClassification"] and not any("pooler" in name for name in content):
        classes = ["BertForTokenClassification"]
    config = {"architectures": classes[:1] or ["BertModel"]} | config
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    try:
        save_file(content, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{folder.parent}: cannot be written ({error})") from None


def _write_checkpoint(folder, config, content):
    import tensorflow as tf

    # Google's code ignores the keys that it does not know.
    kept = ("vocab_size", *bert.ARGUMENTS, "initializer_range", "classifier_dropout", "id2label", "label2id")
    (folder / "bert_config.json").write_text(
        json.dumps({key: config[key] for key in kept if key in config}, indent=2) + "\n"
    )
    names = [bert.google_name(name) for name in content]
    tensors = [
        tensor.T if transposed else tensor for (_, transposed), tensor in zip(names, content.values(), strict=True)
    ]
    try:
        with tf.device("CPU"):
            tf.raw_ops.SaveV2(
                prefix=str(folder / "bert_model.ckpt"),
                tensor_names=[name for name, _ in names],
                shape_and_slices=[""] * len(names),
                tensors=tensors,
            )
    except tf.errors.OpError as error:
        raise OSError(f"{folder.parent}: cannot be written ({error.message.splitlines()[0].split('; ')[-1]})") from None
