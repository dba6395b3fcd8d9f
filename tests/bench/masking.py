"""What pretraining hides, counted over a million positions of real text, English and Chinese.

    python -m tests.bench.masking [--positions 1000000]

Sequences of 128 pieces, both objectives, whole words: Wikipedia's paragraphs of SQuAD with BERT's vocabulary, Wikipedia's of DRCD
and CMRC 2018 with Chinese BERT's and the segmenter ($LINEAGE_DATA/text-en, text-zh). Prints its table last.
"""

import argparse
import os
from collections import Counter
from functools import cached_property
from pathlib import Path

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import numpy as np

from trainer.corpora import making
from trainer.data.plain_text import PlainText
from trainer.pretraining.masking import NOTHING, Masking
from trainer.pretraining.passages import Passages
from trainer.text.segmenter import segmenter
from trainer.text.vocabulary import MASK, read_vocabulary
from trainer.text.word_pieces import WordPieces

TEXTS = {
    "English": ("bert-base-uncased", "text-en", "wikipedia_squad_train.txt.xz", None),
    "Chinese": ("bert-base-chinese", "text-zh", "wikipedia_*.txt.xz", segmenter),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=1_000_000)
    options = parser.parse_args()
    data = Path(os.environ["LINEAGE_DATA"])
    columns = {language: count(data, *source, options.positions) for language, source in TEXTS.items()}
    print(f"\n{'':<52}" + "".join(f"{language:>12}" for language in columns))
    for name in next(iter(columns.values())):
        values = [column[name] for column in columns.values()]
        print(
            f"{name:<52}"
            + "".join(f"{value:>12,}" if isinstance(value, int) else f"{value:>12.4f}" for value in values)
        )


def count(data, vocabulary_name, folder, pattern, segment, positions):
    """Returns {what was counted: how often, or its share}."""
    vocabulary = read_vocabulary(data / "vocab" / vocabulary_name / "vocab.txt")
    tokenizer = WordPieces(vocabulary, lower_case=True)
    corpus = making.corpus(PlainText([str(data / folder / pattern)]), tokenizer, segment and segment())
    masking = Seen(vocabulary.index(MASK), len(vocabulary))
    passages = Passages(
        corpus, vocabulary, masking, max_length=128, pairs=True, whole_words=True, short=0.1,
        documents=np.arange(corpus.documents), seed=0,
    )  # fmt: skip
    read = random = sequences = row = 0
    while read < positions:
        example = passages.example(row % passages.number, row // passages.number)
        read, random, sequences, row = read + len(example.ids), random + example.random, sequences + 1, row + 1
    seen = masking.counts
    return {
        "positions": read,
        "predicted": seen["predicted"] / read,
        "of them [MASK]": seen["hidden"] / seen["predicted"],
        "of them another piece": seen["other"] / seen["predicted"],
        "of them as it is": seen["kept"] / seen["predicted"],
        "special tokens predicted": seen["special"],
        "words of several pieces, predicted": seen["words"],
        "words of which some pieces are predicted, not all": seen["split"],
        "sequence pairs": sequences,
        "second texts from elsewhere": random / sequences,
        "Chinese words on which segmenter and pieces disagree": corpus.index["disagreements"],
        "words of the whole text": corpus.index["groups"],
    }


class Seen(Masking):
    """A masking that counts what it does."""

    @cached_property
    def counts(self):
        return Counter()

    def __call__(self, ids, groups, draw):
        read, targets = super().__call__(ids, groups, draw)
        chosen = targets != NOTHING
        counts = {
            "predicted": chosen.sum(),
            "hidden": (read[chosen] == self.mask).sum(),
            "kept": (read[chosen] == ids[chosen]).sum(),
            "special": (chosen & (groups == 0)).sum(),
        }
        counts["other"] = counts["predicted"] - counts["hidden"] - counts["kept"]
        sizes = np.bincount(groups)
        predicted = np.bincount(groups, chosen)
        sizes[0] = predicted[0] = 0
        counts["words"] = np.sum((sizes > 1) & (predicted == sizes))
        counts["split"] = np.sum((predicted > 0) & (predicted < sizes))
        self.counts.update({name: int(number) for name, number in counts.items()})
        return read, targets


if __name__ == "__main__":
    main()
