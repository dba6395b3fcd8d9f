"""Treebank files: what the formats say, the text rebuilt, and one line for what is malformed."""

import re

import pytest

from tests.conftest import DATA, needs
from trainer.data import conll, files
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

TASK = TASKS["tagging"]
UNIVERSAL = """# sent_id = 1
# text = He doesn't (co-)write du.
1	He	he	PRON	PRP	_	0	root	_	_
2-3	doesn't	_	_	_	_	_	_	_	_
2	does	do	AUX	VBZ	_	0	root	_	_
3	n't	not	PART	RB	_	0	root	_	_
3.1	left	leave	VERB	VBD	_	_	_	2:conj	_
4	(	(	PUNCT	-LRB-	_	0	root	_	SpaceAfter=No
5	co	co	X	AFX	_	0	root	_	Foreign=Yes|SpaceAfter=No
6	-	-	PUNCT	HYPH	_	0	root	_	SpaceAfter=No
7	)	)	PUNCT	-RRB-	_	0	root	_	SpaceAfter=No
8	write	write	VERB	VB	_	0	root	_	_
9-10	du	_	_	_	_	_	_	_	SpaceAfter=No
9	de	de	ADP	IN	_	0	root	_	_
10	le	le	DET	DT	_	0	root	_	_
11	.	.	PUNCT	.	_	0	root	_	_

1	新	_	ADJ	JJ	_	0	root	_	_
"""


def read(path, content, *, labels=files.ANY, **options):
    path.write_text(content, encoding="utf-8", newline="")
    return files.read(path, TASK, labels, **options)


def test_universal(tmp_path):
    row, second = read(tmp_path / "a.conllu", UNIVERSAL)
    assert row["text"] == "He doesn't (co-)write du."
    words = ["He", "does", "n't", "(", "co", "-", ")", "write", "de", "le", "."]
    assert row["words"] == words
    assert [row["text"][start:end] for start, end in row["spans"]] == [*words[:8], "du", "du", "."]
    assert row["tags"][:3] == ["PRON", "AUX", "PART"] and second["text"] == "新"
    assert read(tmp_path / "a.conllu", UNIVERSAL, column="xpos")[0]["tags"][3:5] == ["-LRB-", "AFX"]
    assert len(read(tmp_path / "a.conllu", UNIVERSAL, limit=1)) == 1
    assert read(tmp_path / "b.conllu", UNIVERSAL.replace("\n", "\r\n")) == [row, second]
    assert files.read(tmp_path / "a.conllu", TASK)[0] == {"words": words}
    (tmp_path / "untagged.conllu").write_text(re.sub("PRON|AUX|ADJ", "_", UNIVERSAL))
    assert files.read(tmp_path / "untagged.conllu", TASK)[0] == {"words": words}
    (tmp_path / "words.conll").write_text("10\u00a0000\nfilms\n")
    assert files.read(tmp_path / "words.conll", TASK) == [{"words": ["10\u00a0000", "films"]}]


def test_text_by_script(tmp_path):
    """Where no SpaceAfter stands in a file, Chinese has no spaces but between foreign words, English has them all."""
    sentences = [["我", "用", "GPT", "2", ",", "好", "!"], ["It", "works", ",", "really", "."]]
    content = "".join("".join(f"{word} O\n" for word in sentence) + "\n" for sentence in sentences)
    texts = [row["text"] for row in read(tmp_path / "a.txt", content)]
    assert texts == ["我用GPT 2,好!", "It works , really ."]


def test_columns(tmp_path):
    content = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n# NN I-NP O\n"
    rows = read(tmp_path / "train.txt", content)
    assert [row["words"] for row in rows] == [["EU", "rejects"], ["#"]]
    assert [row["tags"] for row in rows] == [["B-ORG", "O"], ["O"]]
    assert read(tmp_path / "train.txt", content, column=2)[0]["tags"] == ["NNP", "VBZ"]
    assert read(tmp_path / "train.txt", "New York\tB-LOC\n")[0]["words"] == ["New York"]


def test_json_lines(tmp_path):
    content = '{"words": ["do", "n\'t", "go"], "tags": ["AUX", "PART", "VERB"], "text": " don\'t  go"}\n'
    assert read(tmp_path / "a.jsonl", content)[0]["spans"] == [[1, 3], [3, 6], [8, 10]]
    assert files.read(tmp_path / "a.jsonl", TASK) == [{"words": ["do", "n't", "go"]}]
    assert read(tmp_path / "a.jsonl", '{"words": [" go "], "tags": ["VERB"]}')[0]["text"] == "go"
    with pytest.raises(Mistake, match=r"--column: expected for CoNLL-U and columns, received xpos for .*a.jsonl"):
        files.read(tmp_path / "a.jsonl", TASK, files.ANY, column="xpos")
    (tmp_path / "b.jsonl").write_text('{"text": "go"}\n{"words": ["go"]}\n')
    assert files.read(tmp_path / "b.jsonl", TASK) == [{"text": "go"}, {"words": ["go"]}]


LINE = "1\tHe\the\tPRON\tPRP\t_\t0\troot\t_\t_\n"
MALFORMED = {
    "columns": ("a.conllu", LINE + "2\tis\tbe\n", "a.conllu:2: expected 10 columns of CoNLL-U, found 3"),
    "order": ("a.conllu", LINE + LINE, "a.conllu:2: expected word 2, found '1'"),
    "range": ("a.conllu", LINE + "1-2" + LINE[1:], "a.conllu:2: expected word 2 or a range from it, found 1-2"),
    "ranges that overlap": (
        "a.conllu", "1-3" + LINE[1:] + "1-2" + LINE[1:], "a.conllu:2: expected word 1 or a range from it, found 1-2",
    ),
    "spaces": ("a.conllu", LINE.replace("\t", " "), "a.conllu:1: expected 10 columns of CoNLL-U, found 1"),
    "comments alone": ("a.conllu", "# text = a\n\n", "a.conllu: expected rows of words, tags, found none"),
    "more columns": ("a.txt", "She PRON\nNew York PROPN\n", "a.txt:2: expected 2 columns, as in the first line, found"),
    "line break": ("a.jsonl", '{"words": ["a"], "tags": ["x\\ny"]}', "a.jsonl:1: expected tags without line breaks, found"),
    "range without words": (
        "a.conllu", LINE + "2-3" + LINE[1:] + "2" + LINE[1:], "a.conllu:3: expected words up to 3, as a range says, found 2",
    ),
    "no tag": ("a.conllu", LINE.replace("PRON", "_"), "a.conllu:1: expected a word and its upos, found 'He' and '_'"),
    "one column": ("a.txt", "He PRON\nis\n", "a.txt:2: expected 2 columns, as in the first line, found 'is'"),
    "empty": ("a.txt", "", "a.txt: expected rows of words, tags, found none"),
    "unequal": (
        "a.jsonl", '{"words": ["He", "is"], "tags": ["PRON"]}', "a.jsonl:1: expected a tag for each word, found 2 words, 1 tags",
    ),
    "other text": (
        "a.jsonl", '{"words": ["He"], "tags": ["PRON"], "text": "She"}',
        "a.jsonl:1: expected the text to go on with the word 'He', found 'She'",
    ),
    "no list": ("a.jsonl", '{"words": "He", "tags": ["PRON"]}', "a.jsonl:1: expected words to be a list of strings, found"),
    "empty word": ("a.jsonl", '{"words": [""], "tags": ["X"]}', "a.jsonl:1: expected words without empty ones, found"),
    "bytes": ("a.txt", b"He PRON\n\xff X\n", "a.txt:2: expected UTF-8, found byte 0xff at 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(tmp_path, case):
    name, content, message = MALFORMED[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Mistake, match=re.escape(message)) as caught:
        files.read(tmp_path / name, TASK, files.ANY)
    assert "\n" not in str(caught.value)


def test_column_that_the_file_has_not(tmp_path):
    with pytest.raises(Mistake, match=r"--column: expected, of .*CoNLL-U: upos or xpos.*received 4"):
        read(tmp_path / "a.conllu", UNIVERSAL, column=4)
    with pytest.raises(Mistake, match=r"--column: expected, of .*a column's number.*received upos"):
        read(tmp_path / "a.txt", "He PRON\n", column="upos")
    with pytest.raises(Mistake, match=r"a.txt:1: expected a word, and its tag in column 3, found"):
        read(tmp_path / "a.txt", "He PRON\n", column=3)


def test_what_is_written_is_read_again(tmp_path):
    text = " \u200bIt\u2019s 3pm,\u00a0cafe\u0301\u0301 😀\u200d! "
    words = [
        (2, 4, "PRON"), (4, 6, "AUX"), (7, 8, "NUM"), (8, 10, "NOUN"), (10, 11, "PUNCT"), (12, 16, "NOUN"), (19, 20, "SYM"),
        (21, 22, "PUNCT"),
    ]  # fmt: skip
    (row,) = read(tmp_path / "a.conllu", conll.to_universal(text, words))
    assert row["tags"] == [tag for _, _, tag in words]
    assert "".join(row["text"].split()) == "".join(text.split())  # official scorers want every character
    assert row["words"] == ["\u200bIt", "\u2019s", "3", "pm", ",", "cafe\u0301\u0301", "😀\u200d", "!"]
    assert conll.to_universal("\u200b", []).count("\tX\t") == 1


def test_full_width():
    row = conll.row_of(["他", "说", ":", '"', "3.5", ",", "好", "!", '"'], ["X"] * 9)
    wide = conll.full_width(row)
    assert wide["text"] == "他说：“3.5，好！”" and wide["spans"] == row["spans"]
    assert [wide["text"][start:end] for start, end in wide["spans"]] == wide["words"]
    assert conll.full_width(wide) is None
    assert conll.full_width(conll.row_of(["Hi", "!"], ["X"] * 2)) is None


@pytest.mark.parametrize(
    "path, sentences, words",
    [
        ("tagging-en/UD_English-EWT/en_ewt-ud-train.conllu", 12544, 204577),
        ("tagging-en/UD_English-EWT/en_ewt-ud-dev.conllu", 2001, 25147),
        ("tagging-zh/UD_Chinese-GSDSimp/zh_gsdsimp-ud-dev.conllu", 500, 12663),
    ],
)
@needs(DATA / "tagging-en")
def test_real_treebanks_say_the_same_text(path, sentences, words):
    path = DATA / path
    texts = re.findall(r"^# text = (.*)$", path.read_text(encoding="utf-8"), re.M)
    rows = files.read(path, TASK, files.ANY)
    assert (len(rows), sum(len(row["words"]) for row in rows)) == (sentences, words)
    assert [row["text"] for row in rows] == texts
    assert all(row["text"][a:b] == w for row in rows for w, (a, b) in zip(row["words"], row["spans"], strict=True))


@needs(DATA / "tagging-zh")
def test_a_treebank_without_spaces_or_text():
    rows = files.read(DATA / "tagging-zh" / "UD_Chinese-simplified-hankcs" / "dev.conll", TASK, files.ANY)
    assert sum(len(row["words"]) for row in rows) == 12663
    assert rows[0]["text"].startswith("同样,施力的大小不同,")
    assert all(row["text"][a:b] == w for row in rows for w, (a, b) in zip(row["words"], row["spans"], strict=True))
