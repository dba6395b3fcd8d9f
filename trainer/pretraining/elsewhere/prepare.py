"""`python -m trainer.pretraining.elsewhere.prepare --vocabulary V --model SIZE --corpus NAME=FILES ... --to FOLDER`, for BERT, and
`... --method elmo --text FILES ... --to FOLDER`, for language models: cuts text into units, and writes all that a model is pretrained
from as a folder, for `trainer.pretraining.elsewhere.train` on another machine."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import argparse
import re
import shutil
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from trainer.corpora import making
from trainer.corpora.shards import Corpus, describe
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Pretrain, defaults
from trainer.pretraining import language
from trainer.pretraining.elsewhere.documents import Documents
from trainer.pretraining.elsewhere.prepared import FACTS
from trainer.pretraining.elsewhere.streams import TEXT, Streams
from trainer.pretraining.elsewhere.train import prepared_of
from trainer.progress import say
from trainer.runs.blueprint import Blueprint, vocabulary_of
from trainer.runs.run import tokenizer_files
from trainer.text.segmenter import segmenter
from trainer.weights import pretrained
from trainer.writing import print_json, write, write_json

METHODS = ("bert", *language.DIRECTIONS)
GIVEN = ("model", "vocabulary", "text", "dev")  # options of `pretrain` that say what is read


class Found(NamedTuple):
    """What is to be written."""

    blueprint: Blueprint
    settings: dict[str, Any]  # the content of `config.json`
    corpora: list[Corpus]
    facts: dict[str, Any]


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the options of a command line: those of `pretrain`, with the same defaults, as far as they decide what is read."""
    parser = argparse.ArgumentParser(prog="trainer.pretraining.elsewhere.prepare", description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--to", required=True)
    parser.add_argument(
        "--corpus",
        action="append",
        nargs="+",
        metavar=("NAME=FILE", "FILE"),
        help="of bert: files of one kind of text, such as en=a.txt.xz b.txt.xz; corpora of one name are scored together, second "
        "texts come from the same corpus; NAME*2= reads it twice in each pass",
    )
    hints, given = get_type_hints(Pretrain), defaults(Pretrain)
    for name in dict.fromkeys((*GIVEN, *Documents.READING, *Streams.READING)):
        kind = next(kind for kind in (get_args(hints[name]) or (hints[name],)) if kind is not NoneType)
        if kind is bool:
            parser.add_argument(f"--{name}", action="store_true")
        elif get_args(kind):
            parser.add_argument(f"--{name}", nargs="+", default=given[name])
        else:
            parser.add_argument(f"--{name}", type=kind, default=given[name])
    return parser.parse_args(arguments)


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Writes the folder; returns what is in it.

    Raises:
        Mistake: A file cannot be read; no such size; a corpus without a name; an option of another method.
    """
    found = (_of_documents if options.method == "bert" else _of_stream)(options)
    for corpus in found.corpora:
        for line in describe(corpus):
            say(line)
    folder = Path(options.to)
    try:
        folder.mkdir(parents=True)
        for i, corpus in enumerate(found.corpora):
            shutil.copytree(corpus.folder, folder / "corpora" / str(i))
        for name, content in tokenizer_files(found.blueprint.tokenizer).items():
            write(folder / name, content)
        write_json(folder / "config.json", found.settings)
        write_json(folder / FACTS, found.facts)  # last: a folder without it is not whole
    except OSError as error:
        raise Mistake(f"--to {options.to}: cannot be made ({error.strerror})") from None
    return {"folder": options.to, **prepared_of(folder).summary()}


def _of_documents(options):
    """Returns what BERT is pretrained from."""
    names, times, texts = [], [], []
    for first, *files in options.corpus or []:
        match = re.fullmatch(r"(\w+)(?:\*(\d+))?=(.+)", first)
        if not match:
            raise Mistake(f"--corpus {first}: expected NAME=FILE or NAME*TIMES=FILE")
        names.append(match[1])
        times.append(int(match[2] or 1))
        texts.append([match[3], *files])
    if not texts or options.text:
        raise Mistake(f"bert: expected --corpus, received {'--text' if options.text else 'none'}")
    checked = _checked(options, [path for text in texts for path in text])
    vocabulary = vocabulary_of(checked.vocabulary)
    blueprint = Blueprint.new(checked.model, vocabulary, lower_case=pretrained.is_lower_case(vocabulary))
    segment = segmenter() if checked.segment else None
    corpora = [making.corpus(PlainText(text), blueprint.tokenizer, segment) for text in texts]
    facts = _facts(checked, Documents.READING) | {"names": names, "times": times}
    return Found(blueprint, blueprint.architecture.to_settings(blueprint.config), corpora, facts)


def _of_stream(options):
    """Returns what a language model is pretrained from."""
    if options.corpus:
        raise Mistake(f"{options.method}: expected --text, received --corpus")
    checked = _checked(options, options.text)
    if not (checked.dev or checked.held_out):
        raise Mistake("--held_out: expected a share above 0, or --dev, of what is scored, received 0")
    inputs = {"vocabulary": Path(checked.vocabulary)} if checked.vocabulary else {}
    text = PlainText(checked.text)
    blueprint = language.blueprint_of(checked, text, inputs)
    language.model_of(blueprint, checked.seed)  # which checks the settings
    corpora = language.corpora_of(checked, text, blueprint.tokenizer)
    facts = _facts(checked, Streams.READING) | language.reading_of(blueprint)
    facts |= {"names": [TEXT] * len(corpora), "times": [1] * len(corpora)}
    facts["units"] = blueprint.tokenizer.unit.replace("_", " ")
    return Found(blueprint, language.settings_of(blueprint), corpora, facts)


def _checked(options, text):
    """Returns the options as `pretrain` takes and checks them."""
    given = {name: value for name, value in vars(options).items() if name not in ("to", "corpus", "text")}
    return Pretrain(**given, text=text, out=options.to).checked()


def _facts(options, names):
    return {"method": options.method} | {name: getattr(options, name) for name in names}


def main() -> None:
    try:
        print_json(prepare(parsed()))
    except Mistake as error:
        say(str(error))
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
