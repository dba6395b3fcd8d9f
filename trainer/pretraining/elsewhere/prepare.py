"""`python -m trainer.pretraining.elsewhere.prepare --vocabulary V --model SIZE --corpus NAME=FILES ... --to FOLDER`: cuts text into tokens, and
writes all that a model is pretrained from as a folder, for `trainer.pretraining.elsewhere.train` on another machine."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

from trainer.corpora import making
from trainer.corpora.shards import describe
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Pretrain, defaults
from trainer.pretraining.elsewhere.prepared import FACTS, READING, Prepared
from trainer.progress import say
from trainer.runs.blueprint import Blueprint, vocabulary_of
from trainer.runs.run import tokenizer_files
from trainer.text.segmenter import segmenter
from trainer.weights import pretrained
from trainer.writing import print_json, write, write_json


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the options of a command line; those of `READING` are those of `pretrain`, with the same defaults."""
    parser = argparse.ArgumentParser(prog="trainer.pretraining.elsewhere.prepare", description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--model", required=True, help="size of BERT, as for pretrain")
    parser.add_argument("--to", required=True)
    parser.add_argument(
        "--corpus",
        action="append",
        nargs="+",
        required=True,
        metavar=("NAME=FILE", "FILE"),
        help="files of one kind of text, such as en=a.txt.xz b.txt.xz; corpora of one name are scored together, second texts "
        "come from the same corpus; NAME*2= reads it twice in each pass",
    )
    given = defaults(Pretrain)
    for name in READING:
        if name == "segment":
            parser.add_argument("--segment", action="store_true")
        elif name != "model":
            parser.add_argument(f"--{name}", type=type(given[name]), default=given[name])
    return parser.parse_args(arguments)


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Writes the folder; returns what is in it.

    Raises:
        Mistake: A file cannot be read; no such size; a corpus without a name.
    """
    vocabulary = vocabulary_of(options.vocabulary)
    blueprint = Blueprint.new(options.model, vocabulary, lower_case=pretrained.is_lower_case(vocabulary))
    segment = segmenter() if options.segment else None
    names, times, corpora = [], [], []
    for first, *files in options.corpus:
        match = re.fullmatch(r"(\w+)(?:\*(\d+))?=(.+)", first)
        if not match:
            raise Mistake(f"--corpus {first}: expected NAME=FILE or NAME*TIMES=FILE")
        names.append(match[1])
        times.append(int(match[2] or 1))
        corpora.append(making.corpus(PlainText([match[3], *files]), blueprint.tokenizer, segment))
        for line in describe(corpora[-1]):
            say(line)
    facts = {name: getattr(options, name) for name in READING} | {"names": names, "times": times}
    folder = Path(options.to)
    try:
        folder.mkdir(parents=True)
        for i, corpus in enumerate(corpora):
            shutil.copytree(corpus.folder, folder / "corpora" / str(i))
        for name, content in tokenizer_files(blueprint.tokenizer).items():
            write(folder / name, content)
        write_json(folder / "config.json", blueprint.architecture.to_settings(blueprint.config))
        write_json(folder / FACTS, facts)  # last: a folder without it is not whole
    except OSError as error:
        raise Mistake(f"--to {options.to}: cannot be made ({error.strerror})") from None
    train, dev = Prepared.of(folder).mixtures()
    pieces = sum(corpus.pieces for corpus in corpora)
    return {"folder": options.to, "pieces": pieces, "sequences": train.number, "held_out_sequences": dev.number}


def main() -> None:
    try:
        print_json(prepare(parsed()))
    except Mistake as error:
        say(str(error))
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
