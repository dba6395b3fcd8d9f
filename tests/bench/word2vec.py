"""word2vec, ours beside gensim's: words a second, and what the vectors know after as many passes over the same text.

    python -m tests.bench.word2vec [--text 'english/*.txt.xz'] [--passes 3] [--threads 2]

In the environment of requirements-peers.txt.

Skip-gram with 5 drawn words, windows of 5, vectors of 100, --sample 1e-4, words that stand in the text five times or more. gensim
is given the sentences that ours were cut into, a line each: as a file (`corpus_file`, its fast path, without Python's lock) and as an
iterable. In turn, a pass each. Words/s are the words of the text, those that are left out and unknown ones too, by the seconds of
a pass on the clock, the best pass counted; what is before the first pass is not in it (ours counts the words of the text and cuts
it once, gensim counts those of what was cut). Text: by default all of $LINEAGE_DATA/text-en. Prints its table last.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import tensorflow as tf
from gensim import utils
from gensim.models.word2vec import LineSentence, Word2Vec

from trainer.data.plain_text import PlainText
from trainer.options import Pretrain
from trainer.pretraining.similarity import Vectors
from trainer.pretraining.word_vectors import LEAST, Plan
from trainer.progress import say
from trainer.text.vocabulary import SPECIAL

RATE, SEED = 0.025, 1
SETS = {
    "WordSim-353": "EN-WS-353-ALL.txt",
    "SimLex-999": "EN-SIMLEX-999.txt",
    "MEN": "EN-MEN-TR-3k.txt",
    "analogies": "questions-words.txt",
}


def main():
    data = Path(os.environ.get("LINEAGE_DATA", ""))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", default=[str(data / "text-en" / "*.txt.xz")])
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", default="", help="a contender to leave out")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        settings = Pretrain(
            method="word2vec", text=options.text, epochs=options.passes, seed=SEED, out=folder
        ).checked()
        plan = Plan(settings, PlainText(options.text), {})
        say("\n".join(plan.decisions()))
        lines = write_sentences(plan, Path(folder) / "sentences.txt")
        contenders = {
            "ours": Ours(plan),
            "gensim, a file": Gensim(lines, options, corpus_file=str(lines)),
            "gensim, an iterable": Gensim(lines, options, corpus_iterable=LineSentence(str(lines))),
        }
        contenders.pop(options.without, None)
        best = dict.fromkeys(contenders, float("inf"))
        for number in range(1, options.passes + 1):
            for name, contender in contenders.items():
                begun = time.perf_counter()
                contender.read(number)
                seconds = time.perf_counter() - begun
                say(f"pass {number}/{options.passes}, {name}: {seconds:.1f} s")
                best[name] = min(best[name], seconds)
    scores = {name: scored(contender.vectors(), data) for name, contender in contenders.items()}
    words = plan.corpus.pieces
    print(
        f"\n{words:,} words, {options.passes} passes, {options.threads} threads; Spearman's correlation, and the share"
    )
    print("of the analogies that are covered of which the answer is found")
    print(f"{'':<20}{'vocabulary':>11}{'words/s':>11}{'ours / it':>11}" + "".join(f"{name:>13}" for name in SETS))
    for name, seconds in best.items():
        ratio = f"{seconds / best['ours']:11.2f}" if "ours" in best else ""
        size = len(contenders[name].vectors().ids)
        found = "".join(f"{score:13.3f}" for score in scores[name])
        print(f"{name:<20}{size:>11,}{words / seconds:>11,.0f}{ratio}{found}")
    print("run by: python -m tests.bench.word2vec")


def write_sentences(plan, path):
    """Writes the sentences of a corpus, a line each, words by spaces; returns the path."""
    vocabulary = plan.tokenizer.vocabulary
    with open(path, "w", encoding="utf-8") as file:
        for shard in plan.corpus.shards:
            words, start = [vocabulary[i] for i in shard.ids], 0
            for end in shard.sentences.tolist():
                file.write(" ".join(words[start:end]) + "\n")
                start = end
    return path


class Ours:
    """What `python -m trainer pretrain word2vec` does, without run folder and checkpoints."""

    def __init__(self, plan):
        self.plan, self.work = plan, plan.work

    def read(self, number):
        for batch, _ in self.work.batches(number, 0):
            self.work.step(batch)

    def vectors(self):
        table = self.plan.model.get_layer("words_embedding").embeddings.numpy()
        return Vectors(self.plan.tokenizer.vocabulary, table, special=len(SPECIAL))


class Gensim:
    """The same in gensim; `text`: its argument that names the text."""

    def __init__(self, path, options, **text):
        self.text, self.passes = text, options.passes
        arguments = {"vector_size": 100, "window": 5, "negative": 5, "sample": 1e-4, "min_count": 5, "alpha": RATE}
        self.model = Word2Vec(sg=1, hs=0, workers=options.threads, seed=SEED, **arguments)
        unknown = lambda word, count, minimum: utils.RULE_DISCARD if word in SPECIAL else utils.RULE_DEFAULT
        self.model.build_vocab(corpus_file=str(path), trim_rule=unknown)

    def read(self, number):
        rates = [max(RATE * (1 - done / self.passes), RATE * LEAST) for done in (number - 1, number)]
        self.model.train(
            **self.text,
            total_examples=self.model.corpus_count,
            total_words=self.model.corpus_total_words,
            epochs=1,
            start_alpha=rates[0],
            end_alpha=rates[1],
        )

    def vectors(self):
        return Vectors(self.model.wv.index_to_key, self.model.wv.vectors)


def scored(vectors, data):
    """Returns a score for each of `SETS`."""
    found = [vectors.score(data / "word-similarity" / "en" / name) for name in SETS.values()]
    return [score.get("spearman", score.get("accuracy")) for score in found]


if __name__ == "__main__":
    main()
