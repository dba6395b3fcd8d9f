"""Data by name: the user's own copies, the cache, the public address (a real HTTP server on this machine)."""

import gzip
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import DATA, cli, needs, write_examples
from tests.site import site
from trainer.data import datasets, files
from trainer.data.download import git_blob
from trainer.data.published import DataSet, Part
from trainer.errors import Failure, Mistake
from trainer.tasks.table import TASKS

TEXT = "1 a fine film\n0 坏片\n".encode()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Yields a folder with an empty cache, and the server that has the data set `small`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("small/train.tsv", b"packed\n")
        archive.writestr("__MACOSX/small/._train.tsv", b"of a Mac")
    files = {"dev.txt": TEXT, "all.zip": packed.getvalue()}
    with site(None) as server:
        monkeypatch.setattr(datasets, "GITHUB", server.address)
        monkeypatch.setattr("trainer.data.download.time.sleep", lambda seconds: None)
        parts = {
            "dev": Part("folder/dev.txt", git_blob(TEXT), 2, "small/dev.txt"),
            "train": Part("all.zip", git_blob(files["all.zip"]), 1, None, None, "train.tsv"),
            "part": Part("folder/dev.txt", git_blob(TEXT), 2, "small/part.txt", "the half of it"),
        }
        monkeypatch.setitem(
            datasets.DATA, "small", DataSet(("sentiment",), "English", "ours", "owner/name", "c0ffee", parts)
        )
        monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("LINEAGE_DATA", raising=False)
        server.files = files
        yield tmp_path, server


def kept(folder):
    return sorted(path.name for path in (folder / "cache").rglob("*") if path.is_file())


def test_a_name_is_fetched_once(home):
    folder, server = home
    server.content = TEXT
    path = datasets.path_of("small", "dev")
    assert path.read_bytes() == TEXT and kept(folder) == ["dev.txt"]
    assert datasets.path_of("small:dev", "train") == path
    assert [address for address, _ in server.requests] == ["/owner/name/c0ffee/folder/dev.txt"]


def test_out_of_an_archive(home):
    folder, server = home
    server.content = server.files["all.zip"]
    assert datasets.path_of("small", "train").read_bytes() == b"packed\n"
    assert kept(folder) == ["all.zip", "train.tsv"]
    (folder / "cache/data/small/train.tsv").unlink()  # as after a kill before it was unpacked
    assert datasets.path_of("small", "train").read_bytes() == b"packed\n" and len(server.requests) == 1


def test_processes_that_unpack_one_archive(home):
    folder, server = home
    server.content = server.files["all.zip"]
    datasets.path_of("small", "train")
    for _ in range(10):
        (folder / "cache/data/small/train.tsv").unlink()
        with ThreadPoolExecutor(4) as pool:
            paths = list(pool.map(lambda _: datasets.path_of("small", "train").read_bytes(), range(4)))
        assert paths == [b"packed\n"] * 4 and kept(folder) == ["all.zip", "train.tsv"]


def test_a_damaged_file_is_fetched_anew(home, capsys):
    folder, server = home
    server.content = TEXT
    path = datasets.path_of("small", "dev")
    path.write_bytes(TEXT[:-1])
    assert datasets.path_of("small", "dev").read_bytes() == TEXT
    assert "dev.txt: damaged; fetched anew" in capsys.readouterr().err
    server.content = server.files["all.zip"]
    datasets.path_of("small", "train")
    (folder / "cache/data/small/all.zip").write_bytes(b"no zip")
    assert datasets.path_of("small", "train").read_bytes() == b"packed\n"


def test_titles_tell_no_path(home, monkeypatch):
    folder, _ = home
    (folder / "mine.txt").write_text("1 a\n")
    local = folder / "own" / "small"
    local.mkdir(parents=True)
    (local / "part.txt").write_bytes(TEXT)
    assert datasets.title("small:part", "dev") == "small:part"
    monkeypatch.setenv("LINEAGE_DATA", str(folder / "own"))
    for name, title in (
        ("small", "small:train"),
        ("small:part", "small:part (the half of it)"),
        (f"{folder}/mine.txt", "mine.txt"),
        ("tfds:glue/mnli:validation_matched", "tfds:glue/mnli:validation_matched"),
        ("hf:nyu-mll/glue/mnli", "hf:nyu-mll/glue/mnli"),
        ("hf:/home/anna/reviews:test", "hf:reviews:test"),
        ("hf:./reviews", "hf:reviews"),
    ):
        assert datasets.title(name, "train") == title


def test_other_content_is_refused(home):
    folder, server = home
    server.content = TEXT[::-1]
    with pytest.raises(Failure, match=r"expected git blob .* nothing was kept"):
        datasets.path_of("small", "dev")
    assert kept(folder) == []


def test_own_copies_come_first_and_are_told_apart(home, monkeypatch, capsys):
    folder, server = home
    monkeypatch.setenv("LINEAGE_DATA", str(folder / "own"))
    server.content = TEXT
    assert datasets.path_of("small", "dev").read_bytes() == TEXT
    assert "small:dev: not in LINEAGE_DATA" in capsys.readouterr().err
    local = folder / "own" / "small"
    local.mkdir(parents=True)
    (local / "dev.txt").write_bytes(TEXT)
    assert datasets.path_of("small", "dev") == local / "dev.txt" and capsys.readouterr().err == ""
    (local / "dev.txt").write_bytes(b"1 mine\n")
    assert datasets.path_of("small", "dev") == local / "dev.txt"
    assert "is not the published dev.txt; taken as it is" in capsys.readouterr().err
    (local / "dev.txt").unlink()
    (local / "dev.txt.gz").write_bytes(gzip.compress(TEXT))
    assert datasets.path_of("small", "dev") == local / "dev.txt.gz" and capsys.readouterr().err == ""
    (local / "part.txt.gz").write_bytes(b"")
    assert datasets.path_of("small:part", "dev") == local / "part.txt.gz"
    assert "stands in for dev.txt: the half of it" in capsys.readouterr().err


def test_paths_and_wrong_names(home, monkeypatch):
    folder, _ = home
    (folder / "mine.txt").write_text("1 a\n")
    assert datasets.path_of(str(folder / "mine.txt"), "train") == folder / "mine.txt"
    for name, task, message in (
        ("sst3", None, "no such file, and no data set of that name"),
        ("small:test", None, r"small: expected one of its parts \(dev, train, part\), received test"),
        ("small", "tagging", "small: a data set for sentiment, received for tagging"),
    ):
        with pytest.raises(Mistake, match=message):
            datasets.path_of(name, "train", task)


def test_the_command(home, capsys):
    folder, server = home
    status, out, _ = cli(capsys, "datasets")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert status == 0 and set(rows) == set(datasets.DATA) and rows["small"]["here"] == {}
    server.content = TEXT
    status, out, _ = cli(capsys, "datasets", "small:dev")
    path = folder / "cache/data/small/dev.txt"
    assert status == 0 and json.loads(out) == {"name": "small:dev", "dev": str(path)} and path.is_file()
    status, out, _ = cli(capsys, "datasets")
    assert json.loads(out.splitlines()[-1])["here"] == dict.fromkeys(["dev", "part"], str(path))
    server.answers[:] = ["404"]
    status, out, err = cli(capsys, "datasets", "small")
    assert status == 1 and out == "" and "HTTP 404" in err.splitlines()[-1]
    status, _, err = cli(capsys, "datasets", "sst3")
    assert status == 2 and "no data set of that name" in err


def test_a_run_trains_on_a_name(home, bert_folder, capsys):
    folder, server = home
    server.content = write_examples(folder / "file.txt", 16).read_bytes()
    part = Part("dev.txt", git_blob(server.content), 16)
    datasets.DATA["small"].parts.update(dev=part, train=part)
    options = ["--train", "small", "--dev", "small", "--init", bert_folder, "--max_length", 16, "--epochs", 1]
    status, out, err = cli(capsys, "finetune", "sentiment", *options, "--out", folder / "run")
    assert status == 0 and json.loads(out)["steps"] == 1
    assert f"train     {folder}/cache/data/small/dev.txt: 16 examples" in err


EXACT = [
    (name, part)
    for name, data_set in datasets.DATA.items()
    for part, file in data_set.parts.items()
    if file.local and not file.differs
]


@needs(DATA / "sentiment-en")
@pytest.mark.parametrize("name, part", EXACT)
def test_blob_ids_are_those_of_the_real_files(name, part):
    file = datasets.DATA[name].parts[part]
    assert git_blob((DATA / file.local).read_bytes()) == file.blob


@needs(DATA / "sentiment-en")
@pytest.mark.parametrize(
    "name, part",
    [
        *EXACT,
        ("chnsenticorp", "train"),
        ("chnsenticorp", "dev"),
        ("squad1", "dev"),
        ("squad2", "dev"),
        ("ud-zh-gsdsimp", "train"),
        ("multi30k", "dev.en"),
    ],
)
def test_examples_are_as_many_as_the_table_says(name, part, monkeypatch):
    monkeypatch.setenv("LINEAGE_DATA", str(DATA))
    path, expected = datasets.path_of(f"{name}:{part}", "train"), datasets.DATA[name].parts[part].examples
    if name == "multi30k":
        assert len(path.read_text(encoding="utf-8").splitlines()) == expected
    else:
        task = TASKS[datasets.DATA[name].tasks[0]]
        assert len(files.read(path, task, files.ANY)) == expected
