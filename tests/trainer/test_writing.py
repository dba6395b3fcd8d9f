"""Files of results: complete or absent; nothing is destroyed that is not our output."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT, cli
from trainer import writing
from trainer.errors import Failure, Mistake


def write(path, text="new 好\n", inputs=None):
    with writing.opened(path, inputs) as file:
        file.write(text)


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path)
    assert path.read_text(encoding="utf-8") == "new 好\n"
    path.chmod(0o640)
    with pytest.raises(ZeroDivisionError), writing.opened(path) as file:
        file.write("half")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "new 好\n" and os.listdir(tmp_path) == ["a.jsonl"]
    write(path, "newer\n")
    assert path.read_text() == "newer\n" and stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").mkdir()
    for name in ("old", "none"):
        (tmp_path / name).symlink_to(tmp_path / "target" / name)
    (tmp_path / "target" / "old").write_text("old")
    for name in ("old", "none"):
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "target" / name).read_text(encoding="utf-8") == "new 好\n"
    assert sorted(os.listdir(tmp_path / "target")) == ["none", "old"]


def test_fifos_and_sockets_are_written_to_directly(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    write(tmp_path / "fifo")
    reader.join(10)
    assert received == ["new 好\n".encode()] and stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        write(tmp_path / "socket")
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as file:
            assert file.read() == "new 好\n".encode()
    assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)


def node(path, minor):
    """Makes a device node, so that those of the machine are not touched."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        with open(path, "wb"):
            pass
    except OSError as error:
        pytest.skip(f"no device nodes can be made or opened here ({error.strerror})")
    return path


def test_a_device_is_written_to_directly(tmp_path):
    null, full = node(tmp_path / "null", 3), node(tmp_path / "full", 7)
    write(null)
    assert stat.S_ISCHR(null.stat().st_mode)
    with pytest.raises(Failure, match=r"--output .*full: cannot be written \(No space left on device\)"):
        write(full)
    assert stat.S_ISCHR(full.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_by_its_name(tmp_path, name):
    code = f"from trainer import writing\nwith writing.opened({name!r}) as file: file.write('one\\n')\nprint('two')"
    piped = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert piped.stdout == "one\ntwo\n"
    with open(tmp_path / "out", "w") as file:  # the shell's own file, which must not be replaced
        inode = os.fstat(file.fileno()).st_ino
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=file, check=True)
    assert (tmp_path / "out").read_text() == "one\ntwo\n" and (tmp_path / "out").stat().st_ino == inode


def test_inputs_are_refused(tmp_path):
    data, run = tmp_path / "data.txt", tmp_path / "run"
    data.write_text("mine")
    run.mkdir()
    (run / "model.safetensors").write_text("weights")
    (tmp_path / "link").symlink_to(data)
    os.link(data, tmp_path / "hard")
    (tmp_path / "way").symlink_to(run)
    inputs = {"--data": data, "the run": run}
    for name in (
        "data.txt",
        "link",
        "hard",
        "./data.txt",
        "way/model.safetensors",
        "run/labels.txt",
        "run/checkpoint/x",
    ):
        with pytest.raises(Mistake, match=r"expected another file than (--data|the run) .*, which this command reads"):
            write(tmp_path / name, inputs=inputs)
    assert data.read_text() == "mine" and (run / "model.safetensors").read_text() == "weights"
    write(run / "found.jsonl", inputs=inputs)
    with pytest.raises(Mistake, match="expected a file, found a folder"):
        write(run, inputs=inputs)
    with pytest.raises(Mistake, match=r"cannot be written \(No such file or directory\)"):
        write(tmp_path / "none" / "x")


def test_json_in_any_encoding():
    assert writing.json_line({"a": "好"}) == '{"a": "好"}'
    for encoding in ("ascii", "latin-1", "what"):
        line = writing.json_line({"a": "好 é"}, encoding)
        assert line.isascii() and json.loads(line) == {"a": "好 é"}
    assert json.loads(writing.json_line("\udcff")) == "\udcff"


def test_evaluate_refuses_before_the_work(run_folder, capsys, tmp_path):
    data = run_folder.parent / "dev.txt"
    before = {path.name: path.read_bytes() for path in (data, run_folder / "model.safetensors")}
    for target in (data, run_folder / "model.safetensors", tmp_path, tmp_path / "none" / "x"):
        status, out, err = cli(capsys, "evaluate", run_folder, "--data", data, "--output", target)
        assert (status, out) == (2, "") and err.count("\n") == 1 and f"--output {target}" in err
    assert before == {path.name: path.read_bytes() for path in (data, run_folder / "model.safetensors")}
    (tmp_path / "link").symlink_to(tmp_path / "found.jsonl")
    status, *_ = cli(capsys, "evaluate", run_folder, "--data", data, "--output", tmp_path / "link")
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()]
    assert status == 0 and len(rows) == 40 and (tmp_path / "link").is_symlink()
