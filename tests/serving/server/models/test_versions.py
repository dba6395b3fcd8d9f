"""Changes of base paths while models are served, with a Servable that loads nothing."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.server.configuration.follow import Follower
from serving.server.configuration.model_config import models_in
from serving.server.configuration.settings import Settings
from serving.server.models import loader, versions
from serving.server.models.model import AVAILABLE, END, Model, Version, version_of
from serving.server.models.versions import Models
from serving.server.refusal import Refused


class FakeServable:
    note = ""

    def __init__(self, path, settings):
        path = Path(path)
        if (path / "broken").exists():
            raise ValueError((path / "broken").read_text())

    def close(self):
        pass


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "load", FakeServable)
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
    # Older ones are forgotten; beside the ended ones, each thread may have held one when the last was loaded.
    assert known[149].state == AVAILABLE and len(known) <= versions.MAX_ENDED + 2 + len(threads)
    assert {version.state for version in known.values()} == {AVAILABLE, END}


def test_broken_versions(models, tmp_path):
    """The old one still answers; the reported error fits a message."""
    (tmp_path / "base" / "2").mkdir()
    (tmp_path / "base" / "2" / "broken").write_text("no\ud800 " * 9000, errors="surrogatepass")
    models.update()
    assert served(models) == 1
    (number, version), _ = models.status("m")
    assert (number, version.state) == (2, END) and len(version.error) < 1100 and version.error.encode()
    (tmp_path / "base" / "2" / "broken").unlink()
    models.update()
    assert served(models) == 2


def write_versions(base, *numbers, broken=()):
    for number in numbers:
        (base / str(number)).mkdir(parents=True)
        if number in broken:
            (base / str(number) / "broken").write_text("no such op")
    return base


def states(models, name):
    return {number: version.state for number, version in models.status(name)}


def test_another_configuration(models, tmp_path):
    """Models come, go and move to other folders; what stays is not loaded again."""
    kept = models.models["m"].versions[1].servable
    write_versions(tmp_path / "two", 3, 5)
    models.reload([Model("m", tmp_path / "base"), Model("two", tmp_path / "two", latest=0, labels={"old": 3})])
    assert (served(models), served(models, "two")) == (1, 5) and states(models, "two") == {3: AVAILABLE, 5: AVAILABLE}
    models.reload([Model("m", tmp_path / "base"), Model("two", tmp_path / "two", specific=(3,))])
    assert served(models, "two") == 3 and states(models, "two") == {3: AVAILABLE, 5: END}
    assert not models.models["two"].labels
    models.reload([Model("m", tmp_path / "base"), Model("two", tmp_path / "base")])
    assert served(models, "two") == 1 and states(models, "two") == {1: AVAILABLE}
    models.reload([Model("m", tmp_path / "base")])
    with pytest.raises(Refused, match=r"Latest\(two\)"):
        served(models, "two")
    assert states(models, "two") == {1: END} and models.models["m"].versions[1].servable is kept
    models.reload([])
    with pytest.raises(Refused, match="Servable not found"):
        served(models)


def test_a_configuration_that_cannot_be_served_changes_nothing(models, tmp_path):
    write_versions(tmp_path / "two", 1)
    write_versions(tmp_path / "bad", 2, broken=[2])
    write_versions(tmp_path / "base", 2)
    good, before = Model("two", tmp_path / "two"), dict(models.models)
    for wanted, code, text in (
        (Model("bad", tmp_path / "bad"), "UNKNOWN",
         "1 model(s) did not become available: {{name: bad version: 2} due to error: no such op, }"),
        (Model("away", tmp_path / "away"), "UNKNOWN",
         f"1 model(s) did not become available: {{{{name: away}} due to error: {tmp_path}/away cannot be read (No such file or directory), }}"),
        (Model("two", tmp_path / "two", labels={"new": 7}), "FAILED_PRECONDITION",
         "Request to assign label to version 7 of model two, which is not currently available for inference"),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            models.reload([Model("m", tmp_path / "base"), *([good] if wanted.name != "two" else []), wanted])
        assert (caught.value.code, caught.value.message) == (code, text)
        assert models.models == before and served(models) == 1 and not models.status("two")
        assert states(models, "m") == {1: AVAILABLE, 2: END}
    models.reload([Model("m", tmp_path / "base", labels={"next": 9})], unavailable_labels=True)
    assert served(models) == 2 and models.models["m"].labels == {"next": 9}


def test_a_request_outlives_its_model(models, tmp_path):
    spec = SimpleNamespace(name="m", version_label="", HasField=lambda field: False)
    with models.use(spec) as (_, servable):
        models.reload([])
        assert models.status("m")[0][1].servable is servable
    assert models.status("m")[0][1] == Version(END)


def test_new_models_are_watched_and_old_ones_no_more(models, tmp_path):
    models.watch(0.01)
    write_versions(tmp_path / "two", 1)
    models.reload([Model("two", tmp_path / "two")])
    write_versions(tmp_path / "base", 2)
    (tmp_path / "two" / "2").mkdir()
    deadline = time.monotonic() + 10
    while served(models, "two") != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert states(models, "m") == {1: END}


def test_a_followed_file(models, tmp_path, capsys):
    """A broken one is reported once, tried again, and taken over when it can be."""
    file = tmp_path / "models.config"
    write = lambda text: file.write_text(f"model_config_list {{ {text} }}")
    write(f'config {{ name: "m" base_path: "{tmp_path}/base" }}')
    follower = Follower(str(file))
    take_over = lambda config: models.reload(models_in(config, str(file)))
    follower.look(take_over)
    assert capsys.readouterr().err == ""
    write(f'config {{ name: "m" base_path: "{tmp_path}/base" }} config {{ name: "two" base_path: "{tmp_path}/two" }}')
    for _ in range(3):
        follower.look(take_over)
    err = capsys.readouterr().err
    assert (
        err.count("\n") == 1
        and "two cannot be read (No such file or directory), }; the configuration before is kept" in err
    )
    write_versions(tmp_path / "two", 4)
    follower.look(take_over)
    assert served(models, "two") == 4
    file.unlink()
    follower.look(take_over)
    assert "cannot be read (No such file or directory); the configuration before is kept" in capsys.readouterr().err
    assert served(models, "two") == 4


def test_a_version_that_fails_to_close(models, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeServable, "close", lambda self: 1 / 0)
    spec = SimpleNamespace(name="m", version_label="", HasField=lambda field: False)
    with models.use(spec) as (number, _):
        (tmp_path / "base" / "2").mkdir()
        models.update()
        assert number == 1
    assert models.models["m"].versions[1] == Version(END) and served(models) == 2


@pytest.fixture
def loading(tmp_path, monkeypatch):
    """A way to load versions that notes how many are loaded at once, and fails as often as the file `broken` says."""
    state = SimpleNamespace(now=0, most=0, lock=threading.Lock(), failures=0, tries=0)

    def load(path, settings):
        with state.lock:
            state.now += 1
            state.tries += 1
            state.most = max(state.most, state.now)
            fails = state.tries <= state.failures
        time.sleep(0.05)
        with state.lock:
            state.now -= 1
        if fails:
            raise ValueError("no variables")
        return FakeServable(path, settings)

    monkeypatch.setattr(loader, "load", load)
    return state


def test_models_are_loaded_at_once(loading, tmp_path):
    for i in range(6):
        write_versions(tmp_path / f"m{i}", 1, 2, 3)
    configured = [Model(f"m{i}", tmp_path / f"m{i}", latest=0) for i in range(6)]
    models = Models(configured, Settings(load_threads=3))
    models.update()
    assert loading.most == 3 and loading.tries == 18
    assert all(states(models, f"m{i}") == dict.fromkeys((1, 2, 3), AVAILABLE) for i in range(6))
    loading.most = 0
    models = Models([], Settings(load_threads=1))
    models.reload([replace(model, versions={}) for model in configured])
    assert loading.most == 1 and served(models, "m5") == 3


def test_failed_loads_are_tried_again_if_asked_for(loading, tmp_path, capsys):
    write_versions(tmp_path / "m", 1)
    loading.failures = 2
    models = Models([Model("m", tmp_path / "m")], Settings(retries=3, retry_seconds=0.01))
    models.update()
    assert served(models) == 1 and loading.tries == 3
    assert capsys.readouterr().err.count("trying again in 0.01 s: no variables") == 2
    write_versions(tmp_path / "m", 2)
    loading.failures = 99
    models.update()
    assert states(models, "m") == {1: AVAILABLE, 2: END} and loading.tries == 7  # the first, and three more
