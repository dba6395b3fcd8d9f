"""Data sets of two libraries' catalogues, where those are installed: written as JSON lines, once, and read as such.

    tfds:glue/mnli    tfds:imdb_reviews:test    TensorFlow Datasets    pip install tensorflow-datasets importlib-resources
    hf:nyu-mll/glue/mnli    hf:imdb:test        Hugging Face datasets  pip install datasets

A name stands for the split `train` after --train, for `validation` after --dev and --data; NAME:SPLIT for another one,
in the library's own words, `train[:10%]` too. Labels are written by their names. What TensorFlow Datasets downloads lies in
LINEAGE_CACHE, too, or in TFDS_DATA_DIR; Hugging Face's library has a cache of its own, shared by its other tools (HF_HOME).
"""

import contextlib
import glob
import json
import os
import re
import sys

from trainer.data.download import put
from trainer.errors import Failure, Mistake
from trainer.progress import say

# What to install. TensorFlow Datasets 4.9.10 imports importlib_resources, and does not say so.
LIBRARIES = {"tfds": "tensorflow-datasets importlib-resources", "hf": "datasets"}
FOLDER = ("/", ".", "~")  # what a local one begins with, which `hf:` takes, too
SPLITS = {"train": "train", "dev": "validation"}
NAME = re.compile(r"(?P<library>tfds|hf):(?P<name>.+?)(?P<version>:\d+\.\d+\.\d+)?(:(?P<split>[A-Za-z_]\w*(\[.*\])?))?")


def knows(name):
    """Says whether a name is that of a catalogue's data set."""
    return name.startswith(tuple(f"{library}:" for library in LIBRARIES))


def title(name):
    """Returns a catalogue's name of a data set; of a local folder, which `hf:` takes, too, its last part."""
    library, _, rest = name.partition(":")
    return f"{library}:{rest.rpartition('/')[2]}" if rest.startswith(FOLDER) else name


def path_of(name, split, folder, *, fetch=True):
    """Returns the path of a split as JSON lines; writes it, if it is not there.

    Args:
        name: `tfds:NAME`, `hf:NAME`, or with `:SPLIT`.
        split: `train` or `dev`, what is meant without `:SPLIT`.
        folder: Where downloads lie.
        fetch: Ask the library, which may download; else take what was written before.

    Raises:
        Mistake: The library is not installed; it has no such data set, or that no such split.
        Failure: What the library met when it fetched the data.
    """
    found = NAME.fullmatch(name)
    if not found:
        raise Mistake(f"{name}: expected tfds:NAME, hf:NAME, or NAME:SPLIT of one, received another form")
    library, packages = found["library"], LIBRARIES[found["library"]]
    split = found["split"] or SPLITS[split]
    place = folder / library / re.sub(r"[^\w.-]+", "-", found["name"].strip("/."))
    if not fetch:
        written = sorted(place.glob(f"*/{glob.escape(split)}.jsonl"), key=os.path.getmtime)
        if not written:
            raise Mistake(f"{name}: not here, and a dry run fetches nothing: python -m trainer datasets {name}")
        return written[-1]
    opened = {"tfds": _open_tfds, "hf": _open_hugging_face}[library]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where the libraries print what they do
            version, rows = opened(found["name"] + (found["version"] or ""), split, folder)
            path = place / version / f"{split}.jsonl"
            if not path.is_file():
                content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows())
                put(path, content.encode())
                say(f"{name}: {split} of version {version}, written to {path}")
    except ImportError as error:
        missing = getattr(error, "name", None) or str(error)
        raise Mistake(f"{name}: expected its library (pip install {packages}), found no {missing}") from None
    except (Mistake, Failure):
        raise
    except Exception as error:  # whatever the library raises: it has dozens of errors, of as many others
        reason = (str(error).strip().splitlines() or ["no detail"])[0]
        raise Failure(f"{name}: unavailable ({type(error).__name__}: {reason[:200]})") from None
    return path


def _open_tfds(name, split, folder):
    """Returns (version and when it was written, function that yields the rows); downloads lie in `folder`."""
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR") or folder / "tfds-downloads")
    except tfds.core.registered.DatasetNotFoundError:
        raise Mistake(
            f"tfds:{name}: no such data set in TensorFlow Datasets, and none prepared in its folder"
        ) from None
    builder.download_and_prepare()
    _check(f"tfds:{name}", split, builder.info.splits)

    def rows():
        for example in builder.as_dataset(split=split, shuffle_files=False):
            yield _of_tfds(tfds, builder.info.features, example)

    return f"{builder.version}-{os.stat(builder.data_path).st_mtime_ns:x}", rows


def _of_tfds(tfds, feature, value):
    """Returns an example, or a part of one, as JSON holds it; what JSON has no form for is left out."""
    if isinstance(feature, tfds.features.FeaturesDict):
        found = {name: _of_tfds(tfds, one, value[name]) for name, one in feature.items()}
        return {name: one for name, one in found.items() if one is not None}
    if isinstance(feature, tfds.features.Sequence):
        inner = feature.feature
        if isinstance(inner, tfds.features.FeaturesDict):  # a dict of lists
            return {name: [_of_tfds(tfds, one, part) for part in value[name]] for name, one in inner.items()}
        return [_of_tfds(tfds, inner, one) for one in value]
    if isinstance(feature, tfds.features.ClassLabel):
        number = int(value)
        return feature.int2str(number) if number >= 0 else str(number)  # -1: without a gold label
    value = value.numpy()
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if value.ndim == 0 else None


def _open_hugging_face(name, split, _):
    """Returns (version, function that yields the rows)."""
    import datasets

    datasets.disable_progress_bars()
    whole = name.startswith(FOLDER) or name.count("/") < 2
    owner_and_name, config = (name, None) if whole else name.rsplit("/", 1)
    try:
        builder = datasets.load_dataset_builder(owner_and_name, config)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise Mistake(f"hf:{name}: no such data set ({str(error).splitlines()[0]})") from None
    builder.download_and_prepare()
    _check(f"hf:{name}", split, builder.info.splits)
    data = builder.as_dataset(split=split)

    def rows():
        for example in data:
            yield {field: _of_hugging_face(datasets, data.features[field], one) for field, one in example.items()}

    return builder.hash[:12] if builder.hash else str(builder.version), rows


def _of_hugging_face(datasets, feature, value):
    if isinstance(feature, datasets.ClassLabel):
        return feature.int2str(value) if value is not None and value >= 0 else "-1"
    if isinstance(feature, datasets.List) and isinstance(feature.feature, datasets.ClassLabel):
        return [feature.feature.int2str(one) for one in value]
    return value


def _check(name, split, splits):
    if re.sub(r"\[.*", "", split) not in splits:
        raise Mistake(
            f"{name}: expected one of its splits ({', '.join(splits)}), received {split}; name one: {name}:SPLIT"
        )
