"""Downloads, against a real HTTP server on this machine: every case ends in the right file or a clear line."""

import fcntl
import random
import re
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT
from tests.site import site
from trainer.data import download
from trainer.errors import Failure
from trainer.progress import Bytes

CONTENT = random.Random(0).randbytes(100_000)
BLOB = "8ae822f1ed264032487641363745f18f5339c428"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Yields the server, and the path of the file to be."""
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with site(CONTENT) as server:
        yield server, tmp_path / "new" / "file.txt"


def fetch(place, blob=BLOB):
    server, target = place
    download.download(f"{server.address}/file.txt", target, blob)
    return target.read_bytes()


def fetch_in_another_process(place):
    server, target = place
    command = f"from pathlib import Path; from trainer.data.download import download; download('{server.address}/f', Path('{target}'), '{BLOB}')"
    return subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, stderr=subprocess.DEVNULL)


def left(place):
    return sorted(path.name for path in place[1].parent.glob("*"))


def test_the_blob_id_is_gits():
    hash_object = subprocess.run(["git", "hash-object", "--stdin"], input=CONTENT, capture_output=True, check=True)
    assert download.git_blob(CONTENT) == hash_object.stdout.decode().strip() == BLOB


@pytest.mark.parametrize(
    "answers, pieces",
    [
        (["right"], [0]),
        (["cut 30000", "right"], [0, 30_000]),
        (
            ["cut 30000", "cut 0", "cut 0", "cut 20000", "503", "cut 0", "right"],
            [0, *[30_000] * 3, *[50_000] * 3],
        ),
        (["cut 30000", "whole"], [0, 30_000]),  # a server without ranges
        (["cut 30000", "cut 60000", "right"], [0, 30_000, 90_000]),
        (["short 30000", "right"], [0, 0]),  # a server that does not state the length
        (["stall 30000", "right"], [0, 30_000]),
        (["503 1", "429", "right"], [0, 0, 0]),
        (["302 /moved", "right"], [0, 0]),
        (["cut 30000", "302 /moved", "right"], [0, 30_000, 30_000]),
        (["cut 30000", "other", "right"], [0, 30_000, 0]),  # the rest of something else
        (["cut 30000", "shifted", "right"], [0, 30_000, 0]),  # another part than was asked for
        (["503 " + "9" * 5000, "right"], [0, 0]),
    ],
    ids=lambda value: " ".join(value).replace(" ", "_") if isinstance(value[0], str) else "",
)
def test_ends_in_the_right_file(place, monkeypatch, answers, pieces):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    place[0].answers[:] = answers
    assert fetch(place) == CONTENT and left(place) == ["file.txt"]
    assert [int(asked.removeprefix("bytes=").rstrip("-") or 0) for _, asked in place[0].requests] == pieces


@pytest.mark.parametrize(
    "answers, message, kept",
    [
        (["404"], "HTTP 404 Not Found", 0),
        (["503"], "HTTP 503 Service Unavailable", 0),
        (["cut 30000", "503"], "HTTP 503 .*; 30,000 bytes are kept, and it goes on from there", 30_000),
        (["stall 30000", "stall 0"], "nothing came for 0.3 s.*; 30,000 bytes are kept", 30_000),
        (["cut 30000", "cut 0"], "broke off after 30,000 of 100,000 bytes.* are kept", 30_000),
        (["302 /again"], "HTTP 302 .*infinite loop", 0),
        (["302 file:///etc/passwd"], "HTTP 302 ", 0),
        (["302 http://[bad"], r"not downloaded \(Invalid IPv6 URL\)", 0),
        (["302 http://a..b/"], r"not downloaded \(", 0),
        (["rubbish"], r"not downloaded \(", 0),
        (["other"], "expected git blob .*, received .*nothing was kept", None),
        (["cut 30000", "other"], "expected git blob .*, received .*nothing was kept", None),
        (["short 30000"], "expected git blob .*30,000 bytes.*nothing was kept", None),
    ],
    ids=lambda value: " ".join(value).replace(" ", "_") if isinstance(value, list) else "",
)
def test_or_in_one_line(place, monkeypatch, answers, message, kept):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    place[0].answers[:] = answers
    with pytest.raises(Failure, match=message) as caught:
        fetch(place)
    assert "\n" not in str(caught.value) and place[0].address in str(caught.value)
    assert left(place) == (["file.txt.part"] if kept else [])
    place[0].answers[:] = ["right"]  # the next attempt
    assert fetch(place) == CONTENT and left(place) == ["file.txt"]
    assert place[0].requests[-1][1] == (f"bytes={kept}-" if kept else "")


def test_no_server(tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with pytest.raises(Failure, match=r"http://localhost:9/x: not downloaded \(Connection refused\)"):
        download.download("http://localhost:9/x", tmp_path / "x", BLOB)


def test_waits_grow_and_follow_the_server(place, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    place[0].answers[:] = ["503", "503", "503 7", "right"]
    assert fetch(place) == CONTENT and waits == [1, 2, 7]


def test_progress(place, monkeypatch, capsys):
    monkeypatch.setattr(download, "Bytes", lambda: Bytes(every=0))
    place[0].answers[:] = ["cut 70000", "right"]
    fetch(place)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"downloading {place[0].address}/file.txt"
    assert any(re.fullmatch(r"0\.1 of 0\.1 MB  \d+\.\d\d MB/s  0:00 left", line) for line in lines), lines
    assert "broke off after 70,000 of 100,000 bytes; trying again in 1 s" in lines


def test_patience_ends(place, monkeypatch):
    """Attempts at a host that does not answer take longer the more addresses it has."""
    monkeypatch.setattr(download, "PATIENCE", -1)
    place[0].answers[:] = ["cut 30000", "503"]
    with pytest.raises(Failure, match="broke off after 30,000"):
        fetch(place)
    assert len(place[0].requests) == 1


def another(place, answers):
    """Starts `download` in a thread while this test has the part locked; returns (the part, open; the thread)."""
    server, target = place
    server.answers[:] = answers
    target.parent.mkdir(exist_ok=True)
    part = open(target.with_name("file.txt.part"), "ab")  # noqa: SIM115
    fcntl.flock(part, fcntl.LOCK_EX)
    thread = threading.Thread(target=fetch, args=[place])
    thread.start()
    thread.join(0.3)
    assert thread.is_alive() and not server.requests
    return part, thread


def test_resumes_from_what_another_process_added(place):
    part, thread = another(place, ["right"])
    part.write(CONTENT[:60_000])
    part.close()
    thread.join(10)
    assert place[1].read_bytes() == CONTENT and [asked for _, asked in place[0].requests] == ["bytes=60000-"]


def test_a_part_that_another_process_deleted_is_made_again(place):
    part, thread = another(place, ["right"])
    place[1].with_name("file.txt.part").unlink()
    part.close()
    thread.join(10)
    assert place[1].read_bytes() == CONTENT and left(place) == ["file.txt"]


def test_put_by_many_at_once(tmp_path):
    threads = [threading.Thread(target=download.put, args=[tmp_path / "new" / "a", CONTENT]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"] and (
        tmp_path / "new/a"
    ).read_bytes() == CONTENT


def test_a_part_that_is_whole_or_of_another_file(place):
    server, target = place
    target.parent.mkdir()
    for content, requests in ((CONTENT, 1), (CONTENT[::-1], 2), (CONTENT[:10] + b"other", 2)):
        server.requests.clear()
        target.with_name("file.txt.part").write_bytes(content)
        assert fetch(place) == CONTENT and left(place) == ["file.txt"] and len(server.requests) == requests
        target.unlink()


def test_two_processes_fetch_once(place, capsys):
    server, target = place
    server.answers[:] = ["stall 60000", "right"]
    process = fetch_in_another_process(place)
    while not server.requests:
        assert process.poll() is None
    thread = threading.Thread(target=fetch, args=[place])
    thread.start()
    thread.join(0.5)
    assert thread.is_alive() and len(server.requests) == 1  # waits
    server.over.set()  # the process's connection breaks off; it tries again
    thread.join(30)
    assert process.wait(30) == 0 and not thread.is_alive()
    assert target.read_bytes() == CONTENT and left(place) == ["file.txt"]
    assert [asked for _, asked in server.requests] == ["", "bytes=60000-"]
    assert "another process is fetching it; waiting" in capsys.readouterr().err


def test_a_process_that_is_killed_leaves_a_part_that_is_used(place):
    server, target = place
    server.answers[:] = ["stall 60000", "right"]
    process = fetch_in_another_process(place)
    part = target.with_name("file.txt.part")
    while not part.is_file() or part.stat().st_size < 1000:
        assert process.poll() is None
    process.kill()
    process.wait()
    size = part.stat().st_size
    assert fetch(place) == CONTENT and left(place) == ["file.txt"]
    assert server.requests[-1][1] == f"bytes={size}-"


def test_a_folder_that_cannot_be_written(place, tmp_path):
    (tmp_path / "new").write_text("a file where the folder should be")
    with pytest.raises(Failure, match="cannot be written"):
        fetch(place)
