"""Data sets of two libraries' catalogues, where those are installed: written as JSON lines once, and read from those.

    tfds:glue/mnli    tfds:imdb_reviews:test    TensorFlow Datasets    pip install tensorflow-datasets importlib-resources
    hf:nyu-mll/glue/mnli    hf:imdb:test        Hugging Face datasets  pip install datasets

A name stands for the split `train` after --train, for `validation` after --dev and --data; NAME:SPLIT stands for any other,
in the library's own syntax, such as `train[:10%]`. Labels are written by their names. TensorFlow Datasets keeps its downloads
in LINEAGE_CACHE, or in TFDS_DATA_DIR; Hugging Face's library has a cache of its own, shared by its other tools (HF_HOME).
"""

import contextlib
import glob
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from trainer.data.download import put
from trainer.errors import Failure, Mistake
from trainer.progress import say

# What to install. TensorFlow Datasets 4.9.10 imports importlib_resources without requiring it.
LIBRARIES = {"tfds": "tensorflow-datasets importlib-resources", "hf": "datasets"}
FOLDER = ("/", ".", "~")  # how a local folder begins, which `hf:` takes, too
SPLITS = {"train": "train", "dev": "validation"}
NAME = re.compile(r"(?P<library>tfds|hf):(?P<name>.+?)(?P<version>:\d+\.\d+\.\d+)?(:(?P<split>[A-Za-z_]\w*(\[.*\])?))?")


def knows(name: str) -> bool:
    """Says whether a name is of a catalogue's data set."""
    return name.startswith(tuple(f"{library}:" for library in LIBRARIES))


def title(name: str) -> str:
    """Returns a catalogue's name of a data set; of a local folder, which `hf:` takes, too, the last component alone."""
    library, _, rest = name.partition(":")
    return f"{library}:{rest.rpartition('/')[2]}" if rest.startswith(FOLDER) else name


def path_of(name: str, split: str, folder: Path, *, fetch: bool = True) -> Path:
    """Returns the path of a split as JSON lines; writes it if it does not exist.

    Args:
        name: `tfds:NAME`, `hf:NAME`, or either with `:SPLIT`.
        split: What is meant without `:SPLIT`: `train` or `dev`.
        folder: Of downloads.
        fetch: Ask the library, which may download; otherwise take what was written before.

    Raises:
        Mistake: The library is not installed; it has no such data set, or the data set no such split.
        Failure: The library failed to fetch the data.
    """
    match = NAME.fullmatch(name)
    if not match:
        raise Mistake(f"{name}: expected tfds:NAME, hf:NAME, or NAME:SPLIT of one, received another form")
    library, packages = match["library"], LIBRARIES[match["library"]]
    split = match["split"] or SPLITS[split]
    place = folder / library / re.sub(r"[^\w.-]+", "-", match["name"].strip("/."))
    if not fetch:
        written = sorted(place.glob(f"*/{glob.escape(split)}.jsonl"), key=os.path.getmtime)
        if not written:
            raise Mistake(f"{name}: not here, and a dry run fetches nothing: python -m trainer datasets {name}")
        return written[-1]
    open_split = {"tfds": _open_tfds, "hf": _open_hugging_face}[library]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the libraries print what they do
            version, rows = open_split(match["name"] + (match["version"] or ""), split, folder)
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
    except Exception as error:  # the library raises dozens of errors, many of other libraries
        reason = (str(error).strip().splitlines() or ["no detail"])[0]
        raise Failure(f"{name}: unavailable ({type(error).__name__}: {reason[:200]})") from None
    return path


def _open_tfds(name: str, split: str, folder: Path) -> tuple[str, Callable[[], Iterable[dict]]]:
    """Returns (version and when it was written, function that yields the rows); downloads go to `folder`."""
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
    """Returns an example, or a part of one, as JSON can hold it; None for what JSON has no form for."""
    if isinstance(feature, tfds.features.FeaturesDict):
        members = {name: _of_tfds(tfds, inner, value[name]) for name, inner in feature.items()}
        return {name: member for name, member in members.items() if member is not None}
    if isinstance(feature, tfds.features.Sequence):
        element = feature.feature
        if isinstance(element, tfds.features.FeaturesDict):  # a dict of lists
            return {name: [_of_tfds(tfds, inner, item) for item in value[name]] for name, inner in element.items()}
        return [_of_tfds(tfds, element, item) for item in value]
    if isinstance(feature, tfds.features.ClassLabel):
        number = int(value)
        return feature.int2str(number) if number >= 0 else str(number)  # -1: without a gold label
    value = value.numpy()
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if value.ndim == 0 else None


def _open_hugging_face(name: str, split: str, _: Path) -> tuple[str, Callable[[], Iterable[dict]]]:
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
            yield {field: _of_hugging_face(datasets, data.features[field], value) for field, value in example.items()}

    return builder.hash[:12] if builder.hash else str(builder.version), rows


def _of_hugging_face(datasets, feature, value):
    if isinstance(feature, datasets.ClassLabel):
        return feature.int2str(value) if value is not None and value >= 0 else "-1"
    if isinstance(feature, datasets.List) and isinstance(feature.feature, datasets.ClassLabel):
        return [feature.feature.int2str(number) for number in value]
    return value


def _check(name, split, splits):
    if re.sub(r"\[.*", "", split) not in splits:
        raise Mistake(
            f"{name}: expected one of its splits ({', '.join(splits)}), received {split}; name one: {name}:SPLIT"
        )
