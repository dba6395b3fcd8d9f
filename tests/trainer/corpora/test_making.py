"""From text files to shards: what is in them, whatever made them."""

import gzip
import json
import lzma
import shutil

import numpy as np
import pytest
from backports import zstd

from tests.conftest import VOCABULARY
from trainer.corpora import documents, making
from trainer.corpora.shards import Corpus
from trainer.data.plain_text import PlainText
from trainer.text.reader import Reader
from trainer.text.sentences import sentences
from trainer.text.verbatim import CodePoints
from trainer.text.vocabulary import SPECIAL
from trainer.text.word_pieces import WordPieces

TOKENIZER = WordPieces(VOCABULARY, lower_case=True)
WORDS = ["a", "good", "film", "unable", "very", "中国", "人", "café", "。", ".", "!"]


def write_text(path, paragraphs=200, seed=0):
    """Writes documents of one to five paragraphs, a tenth of them as they stood before; returns the documents."""
    draw, made, found = np.random.default_rng(seed), [], []
    while len(made) < paragraphs:
        found.append([])
        for _ in range(draw.integers(1, 6)):
            new = " ".join(draw.choice(WORDS, draw.integers(1, 40))).replace(" .", ".").replace(" 。", "。")
            made.append(made[draw.integers(len(made))] if made and draw.random() < 0.1 else new)
            found[-1].append(made[-1])
    content = "\n\n".join("\n".join(document) for document in found) + "\n"
    opened = {".gz": gzip.open, ".xz": lzma.open, ".zst": zstd.open}.get(path.suffix, open)
    with opened(path, "wb") as file:
        file.write(content.encode())
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(documents.parts, "__defaults__", (3000,))
    return tmp_path / "cache"


def contents(corpus):
    return [[field.tolist() for field in shard] for shard in corpus.shards]


def segment(text):
    """Cuts between any two characters but those of 中国."""
    words = []
    for character in text:
        if words and words[-1] + character == "中国":
            words[-1] += character
        else:
            words.append(character)
    return words


def test_shards_hold_what_the_text_says(tmp_path):
    written = [write_text(tmp_path / name, seed=seed) for seed, name in enumerate(("a.txt", "b.gz", "c.xz", "d.zst"))]
    text = PlainText([str(tmp_path / "?.*")])
    assert len(text.paths) == 4
    corpus = making.corpus(text, TOKENIZER, segment)
    assert len(corpus.sizes) > 3

    seen, expected, repeated = set(), [], 0
    for document in (document for of_file in written for document in of_file):
        new = [paragraph.strip() for paragraph in document]
        kept = [p for i, p in enumerate(new) if p not in seen and p not in new[:i]]
        repeated += len(new) - len(kept)
        seen |= {*new}
        expected += [kept] if kept else []
    assert corpus.index["repeated_paragraphs"] == repeated > 20
    assert corpus.documents == len(expected)
    reader, number = Reader(TOKENIZER, 8), 0
    for (shard, ends), paragraphs in zip(corpus, expected, strict=True):
        pieces = [*reader.pieces(paragraphs)]
        np.testing.assert_array_equal(shard.ids[ends[0] : ends[-1]], np.concatenate([ids for ids, *_ in pieces]))
        whole = sum(len(sentences(paragraph)) for paragraph in paragraphs)
        assert len(ends) - 1 == whole
        number += whole
        begins = shard.begins[ends[0] : ends[-1]]
        tokens = np.concatenate([begin for _, begin, *_ in pieces])
        second = np.flatnonzero(shard.ids[ends[0] : ends[-1]] == VOCABULARY.index("国"))
        np.testing.assert_array_equal(np.flatnonzero(tokens & ~begins), second)  # 国 goes on with 中
    assert corpus.sentences == number == corpus.index["sentences"]
    assert corpus.pieces == corpus.index["pieces"] and corpus.index["groups"] < corpus.index["words"]


def test_neither_cores_nor_an_interruption_change_it(tmp_path, cache):
    write_text(tmp_path / "a.txt", 400)
    text, made = PlainText([str(tmp_path / "a.txt")]), []
    for cores in (1, 3):
        made.append(contents(making.corpus(text, TOKENIZER, cores=cores)))
        shutil.rmtree(cache)
    assert made[0] == made[1] and len(made[0]) > 4
    folder = making.corpus(text, TOKENIZER).folder
    kept = (folder / "000001" / "ids.npy").stat().st_mtime_ns
    for path in (folder / "000002", folder / "000003"):
        shutil.rmtree(path)
    (folder / "index.json").unlink()  # as where it was killed
    with pytest.raises(FileNotFoundError):
        Corpus(folder)
    assert contents(making.corpus(text, TOKENIZER)) == made[0]
    assert (folder / "000001" / "ids.npy").stat().st_mtime_ns == kept  # not made again


def test_another_text_vocabulary_or_segmenter_is_another_corpus(tmp_path):
    write_text(tmp_path / "a.txt", 20)
    path = [str(tmp_path / "a.txt")]
    folders = [
        making.corpus(PlainText(path), TOKENIZER).folder,
        making.corpus(PlainText(path), TOKENIZER, segment).folder,
    ]
    folders.append(making.corpus(PlainText(path), WordPieces(VOCABULARY[:-1], lower_case=True)).folder)
    assert making.corpus(PlainText(path), TOKENIZER).folder == folders[0]
    write_text(tmp_path / "a.txt", 20, seed=1)
    folders.append(making.corpus(PlainText(path), TOKENIZER).folder)
    assert len({*folders}) == 4


def test_a_document_without_an_end_is_cut(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"a good film {'b ' * i}." for i in range(200)), encoding="utf-8")
    corpus = making.corpus(PlainText([str(tmp_path / "a.txt")]), TOKENIZER)
    assert corpus.documents == len(corpus.sizes) > 2
    assert corpus.index["documents_cut"] == len(corpus.sizes) - 1
    assert corpus.index["paragraphs"] == 200 and corpus.index["repeated_paragraphs"] == 0


def test_nothing_but_what_becomes_no_piece(tmp_path):
    (tmp_path / "a.txt").write_text("\u200b\n\n \n", encoding="utf-8")
    corpus = making.corpus(PlainText([str(tmp_path / "a.txt")]), TOKENIZER)
    assert (corpus.documents, corpus.sentences, corpus.pieces) == (0, 0, 0)
    assert json.loads((corpus.folder / "index.json").read_text())["paragraphs"] == 1


@pytest.mark.parametrize("unit", ["code_points", "pieces"])
def test_a_stream_is_all_of_the_text(unit, tmp_path):
    """With the ends of lines, nothing left out; whatever number of cores made it."""
    written = write_text(tmp_path / "a.txt")
    text = PlainText([str(tmp_path / "a.txt")])
    content = "".join("".join(f"{paragraph.strip()}\n" for paragraph in document) + "\n" for document in written)
    tokenizer = TOKENIZER
    if unit == "code_points":
        tokenizer = CodePoints([*SPECIAL, *dict.fromkeys(content.replace("\n", ""))])
    corpus = making.corpus(text, tokenizer, stream=True, cores=1)
    ids = np.concatenate([shard.ids for shard in corpus.shards])
    if unit == "code_points":
        assert "".join("\n" if i == 3 else tokenizer.vocabulary[i] for i in ids) == content
    assert corpus.index["repeated_paragraphs"] == 0 and len(corpus.sizes) > 3
    lengths = np.concatenate([shard.lengths for shard in corpus.shards])
    words = [len(paragraph.split()) for document in written for paragraph in document]
    assert lengths[:, 0].sum() == len(content) and lengths[:, 1].sum() == sum(words) + content.count("\n")
    assert len(lengths) == corpus.sentences == len(words)
    expected = contents(corpus)
    shutil.rmtree(corpus.folder)
    assert contents(making.corpus(text, tokenizer, stream=True, cores=3)) == expected
    making.corpus(text, tokenizer)  # another folder
    assert contents(making.corpus(text, tokenizer, stream=True)) == expected
