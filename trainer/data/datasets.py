"""Data by name: a path is taken as it is; a name is looked up in the table `trainer.data.published`, or in a catalogue.

    sst2, sst2:test            of the table: first in $LINEAGE_DATA, then among earlier downloads, then at the public address
    multi30k:dev.{en,de}       of parallel text, two parts as one, see `trainer.data.parallel`
    tfds:glue/mnli, hf:imdb    see `trainer.data.catalogues`

A name stands for its part `train` after --train, for `dev` after --dev and --data; `NAME:PART` stands for any other.
Downloads are kept in $LINEAGE_CACHE/data and checked by git's blob ids. A file in $LINEAGE_DATA is the user's own: it is read
as it is, and the run says so where it is not the published one.
"""

import gzip
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from trainer import paired
from trainer.data import catalogues
from trainer.data.download import download, git_blob, put
from trainer.data.published import DATA
from trainer.errors import Failure, Mistake
from trainer.progress import say

GITHUB = "https://raw.githubusercontent.com"


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
    if paired.is_pair(name) and name.partition(":")[0] not in DATA:
        for file in paired.names_of(name):
            if not os.path.isfile(file):
                raise Mistake(f"{name}: no such file, {file}")
        return Path(name)
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
    if os.path.isfile(name) or (paired.is_pair(name) and name.partition(":")[0] not in DATA):
        return Path(name).name
    if catalogues.knows(name):
        return catalogues.title(name)
    name, part = _look_up(name, split)
    differing = [
        f" ({DATA[name].parts[each].differs})"
        for each in paired.names_of(part)
        if DATA[name].parts[each].stands_in and _local(name, each)
    ]
    return f"{name}:{part}" + "".join(dict.fromkeys(differing))


def _look_up(name, split, no=""):
    """Returns (name, part) of `NAME` or `NAME:PART` in the table."""
    data_set, _, part = name.partition(":")
    if data_set not in DATA:
        raise Mistake(f"{name}: {no}no data set of that name (known: {', '.join(DATA)}; tfds:NAME, hf:NAME)")
    part = part or split
    parts, pair = DATA[data_set].parts, DATA[data_set].pair
    if pair and part not in parts and not paired.is_pair(part):
        part = f"{part}.{{{','.join(pair)}}}"
    if not parts.keys() >= {*paired.names_of(part)}:
        raise Mistake(f"{data_set}: expected one of its parts ({', '.join(parts)}), received {part}")
    return data_set, part


def _get(name, part):
    """Returns the path of the user's own copy, and says if it is not the published file; otherwise downloads that file."""
    if paired.is_pair(part):
        return paired.joined(*[_get(name, each) for each in paired.names_of(part)])
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
    if paired.is_pair(part):
        both = [_at_hand(name, each) for each in paired.names_of(part)]
        return paired.joined(*both) if all(both) else None
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
