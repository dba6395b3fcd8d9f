"""Plain text, streamed."""

import gzip
import lzma
import re

import pytest

from trainer.data.plain_text import PlainText
from trainer.errors import Mistake

CONTENT = "\ufeffone\r\n\n \t\n中国\u2028人\nno end".encode()
LINES = ["one", "中国\u2028人", "no end"]


def test_lines_of_files_packed_or_not(tmp_path):
    (tmp_path / "a.txt").write_bytes(CONTENT)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(CONTENT))
    (tmp_path / "c.txt.XZ").write_bytes(lzma.compress(CONTENT))
    (tmp_path / "d[1].txt").write_bytes(b"d\n")
    files = PlainText([f"{tmp_path}/*.txt*", f"{tmp_path}/a.txt", f"{tmp_path}/d[1].txt"])
    assert [path.removeprefix(f"{tmp_path}/") for path in files.paths] == ["a.txt", "b.txt.gz", "c.txt.XZ", "d[1].txt"]
    assert [*files] == [*files] == LINES * 3 + ["d"]
    assert files.size == sum(path.stat().st_size for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("none.txt", None, "none.txt: no such file"),
        ("no*.txt", None, "no*.txt: no such file"),
        (".", None, "expected a file, found a folder"),
        ("a.txt.bz2", b"", "received .bz2; bzip2 -dc unpacks it"),
        ("a.txt.gz", b"plain", "a.txt.gz: expected a file packed by gzip"),
        ("a.txt.xz", lzma.compress(b"a" * 1000)[:-20], "a.txt.xz: expected a file packed by xz"),
        ("a.txt", b"good\ncaf\xe9\n", "a.txt:2: expected UTF-8, found byte 0xe9 at 3"),
    ],
)
def test_mistakes(name, content, words, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Mistake, match=re.escape(words)):
        [*PlainText([f"{tmp_path}/{name}"])]
