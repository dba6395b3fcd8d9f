"""Changes of base paths while models are served, with a Servable that loads nothing."""

import threading
import time
from types import SimpleNamespace

import pytest

from serving import versions
from serving.refusal import Refused
from serving.versions import AVAILABLE, END, Model, Models, Version, version_of


class FakeServable:
    def __init__(self, path, *, intra_op_threads=0):
        if (path / "broken").exists():
            raise ValueError((path / "broken").read_text())

    def close(self):
        pass


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "Servable", FakeServable)
    (tmp_path / "base" / "1").mkdir(parents=True)
    models = Models([Model("m", tmp_path / "base")])
    models.update()
    yield models
    models.stop()


def served(models, name="m"):
    spec = SimpleNamespace(name=name, version_label="", HasField=lambda field: False)
    with models.use(spec) as (number, _):
        return number


def test_a_base_path_that_is_away_for_a_moment(models, tmp_path, capsys):
    for _ in range(3):
        (tmp_path / "base").rename(tmp_path / "away")
        models.update()
        models.update()
        assert served(models) == 1
        (tmp_path / "away").rename(tmp_path / "base")
        models.update()
        assert served(models) == 1
    (tmp_path / "base").rename(tmp_path / "away")
    (tmp_path / "base").write_text("a file")
    models.update()
    assert served(models) == 1
    err = capsys.readouterr().err
    assert err.count("Could not find base path") == 3 and err.count("cannot be read (Not a directory)") == 1
    assert "unloaded" not in err


def test_a_base_path_without_versions(models, tmp_path, capsys):
    """Takes a model out of service, as in TensorFlow Serving."""
    (tmp_path / "base" / "1").rmdir()
    models.update()
    models.update()
    with pytest.raises(Refused, match="Servable not found"):
        served(models)
    assert capsys.readouterr().err.count("No versions of servable m found under base path") == 1
    (tmp_path / "base" / "1").mkdir()
    models.update()
    assert served(models) == 1


def test_names_of_versions():
    valid = {"1": 1, "0": 0, "00000007": 7, "9223372036854775807": 2**63 - 1, "0" * 250 + "5": 5}
    invalid = [
        "9223372036854775808",
        "9" * 200,
        "٣",
        "³",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "",
        "one",
        "1_000",
        "0x1",
    ]
    assert {name: version_of(name) for name in valid} == valid
    assert {name: version_of(name) for name in invalid} == dict.fromkeys(invalid)


def test_strange_folders_replace_nothing(models, tmp_path, capsys):
    for name in ("9223372036854775808", "٣", "-5", "2.5", "latest", "9" * 100):
        (tmp_path / "base" / name).mkdir()
    (tmp_path / "base" / "7").write_text("a file")
    models.update()
    assert served(models) == 1 and list(models.models["m"].versions) == [1]
    (tmp_path / "base" / "01").mkdir()  # the same number: the last by name is used, and reported once
    models.update()
    models.update()
    assert served(models) == 1
    line = "Version 1 will be loaded from 1, 01 will be ignored."
    assert capsys.readouterr().err.count(line) == 1
    (tmp_path / "base" / "8").symlink_to(tmp_path / "nowhere")  # a link whose target appears later
    (tmp_path / "nowhere").mkdir()
    models.update()
    assert served(models) == 8


def test_watching_continues_after_errors(models, tmp_path, monkeypatch, capsys):
    aspired = Model.aspired
    errors = [RuntimeError("dictionary changed size during iteration"), OverflowError("timeout"), MemoryError()]

    def fail_first(self, *arguments):
        if errors:
            raise errors.pop(0)
        return aspired(self, *arguments)

    monkeypatch.setattr(Model, "aspired", fail_first)
    models.watch(0.01)
    (tmp_path / "base" / "2").mkdir()
    deadline = time.monotonic() + 5
    while served(models) != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    err = capsys.readouterr().err
    assert "m: versions cannot be updated (RuntimeError: dictionary changed size during iteration); trying again" in err


def test_requests_while_versions_come_and_go(models, tmp_path):
    """No request fails or sees an inconsistent state."""
    errors, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                served(models)
                models.status("m")
                models.models["m"].available()
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 150):
        (tmp_path / "base" / str(number)).mkdir()
        (tmp_path / "base" / str(number - 1)).rmdir()
        models.update()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    known = models.models["m"].versions
    assert known[149].state == AVAILABLE and len(known) <= versions.MAX_ENDED + 2  # older ones are forgotten


def test_broken_versions(models, tmp_path):
    """The old one still answers; the reported error fits a message."""
    (tmp_path / "base" / "2").mkdir()
    (tmp_path / "base" / "2" / "broken").write_text("no\ud800 " * 9000, errors="surrogatepass")
    models.models["m"].base_path = tmp_path / "base"
    models.update()
    assert served(models) == 1
    (number, version), _ = models.status("m")
    assert (number, version.state) == (2, END) and len(version.error) < 1100 and version.error.encode()
    (tmp_path / "base" / "2" / "broken").unlink()
    models.update()
    assert served(models) == 2


def test_a_version_that_fails_to_close(models, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeServable, "close", lambda self: 1 / 0)
    spec = SimpleNamespace(name="m", version_label="", HasField=lambda field: False)
    with models.use(spec) as (number, _):
        (tmp_path / "base" / "2").mkdir()
        models.update()
        assert number == 1
    assert models.models["m"].versions[1] == Version(END) and served(models) == 2
