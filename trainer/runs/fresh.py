"""A model of random weights before it has any: its vocabulary is given, or made of the training data."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from trainer.architectures import table
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.options import Finetune
from trainer.options.groups import WRITTEN
from trainer.runs.blueprint import Blueprint, vocabulary_of
from trainer.tasks.table import TASKS, Task
from trainer.text import counted, units
from trainer.text.tokenizer import Tokenizer
from trainer.text.vocabulary import SPECIAL
from trainer.weights import pretrained

FALLBACKS = {"unk": "[UNK]", "characters": "spelled"}  # what becomes of unknown words, for people


def blueprint(options: Finetune, path: Path | None, texts: Callable[[], counted.Texts]) -> Blueprint:
    """Returns the blueprint of random weights.

    Args:
        options: With --model; its unit, its unknown words, the size and the rarest entries of a vocabulary that is made.
        path: Of the vocabulary; None: it is made.
        texts: Gives those that it is made of.

    Raises:
        Mistake: No such model; the vocabulary cannot be read; the model needs another unit; no entry is frequent enough.
    """
    table.named(options.model or "")  # refuses a model that there is not before a vocabulary is made
    unit, unknown = unit_of(options, path, texts), str(options.unknown or "unk")
    fallback = int(unknown) if unknown.isdecimal() else unknown
    lower_case = not units.UNITS[unit].writes
    if path:
        vocabulary = vocabulary_of(path)
        lower_case = lower_case and pretrained.is_lower_case(vocabulary)
    else:
        size = options.vocabulary_size or counted.SIZES[unit]
        minimum = options.vocabulary_min_count or counted.MINIMA[unit]
        vocabulary = counted.vocabulary(unit, texts(), size, lower_case=lower_case, fallback=fallback, minimum=minimum)
        if len(vocabulary) == len(SPECIAL):
            raise Mistake(
                f"--vocabulary_min_count: expected {unit} that stand in the training texts {minimum} times or more, found none"
            )
    return Blueprint.new(
        options.model or "",
        vocabulary,
        lower_case=lower_case,
        unit=unit,
        fallback=fallback,
        settings=options.settings or (),
    )


def reading_as(encoder: Blueprint, options: Finetune) -> Blueprint:
    """Returns the blueprint of --model that reads the units of an encoder, whose features it reads as well.

    Raises:
        Mistake: No such model; options say how text is read.
    """
    for name in ("vocabulary", "vocabulary_size", "vocabulary_min_count", "unit", "unknown", "embeddings"):
        if getattr(options, name) is not None:
            raise Mistake(f"--{name}: expected without --init, or with one that reads words by their letters alone")
    tokenizer = encoder.tokenizer
    return Blueprint.new(
        options.model or "",
        tokenizer.vocabulary,
        lower_case=tokenizer.lower_case,
        unit=tokenizer.unit,
        fallback=tokenizer.fallback,
        settings=options.settings or (),
    )


def of_counts(unit: str, counts: Mapping[str, int], size: int, minimum: int) -> list[str]:
    """Returns the vocabulary of words that were counted in plain text, see `trainer.text.counted.of_counts`.

    Raises:
        Mistake: None stands there `minimum` times.
    """
    entries = counted.of_counts(unit, counts, size, minimum=minimum)
    if len(entries) == len(SPECIAL):
        raise Mistake(f"--vocabulary_min_count {minimum}: expected {unit} that stand in the text so often, found none")
    return entries


def unit_of(options: Finetune, path: Path | None, texts: Callable[[], counted.Texts]) -> str:
    """Returns --unit; where it is not given, characters if a vocabulary is to be made of texts that are Chinese for the most
    part, else pieces; of tasks that write always `WRITTEN`. Args as `blueprint`."""
    if TASKS[options.task].kind == "write":
        return WRITTEN
    if options.unit or path:
        return options.unit or "pieces"
    return "characters" if counted.are_chinese(texts()) else "pieces"


def origin(options: Finetune, unit: str) -> str:
    """Returns what a vocabulary is made of, for a decision that is printed."""
    minimum = options.vocabulary_min_count or counted.MINIMA[unit]
    often = f", of what stands there {minimum} times or more" if minimum > 1 else ""
    return f"made of the training texts{often}"


def texts(rows: list[Row], task: Task) -> counted.Texts:
    """Returns the texts of rows, all fields, of which a vocabulary is made."""
    fields = task.fields_of(rows[0])
    if "words" in fields:
        return counted.Texts(
            Counter(row["text"] for row in rows), Counter(word for row in rows for word in row["words"])
        )
    if task.kind == "write":
        fields = (*fields, task.target)
    return counted.Texts(Counter(row[field] for row in rows for field in fields), {})


def describe(tokenizer: Tokenizer, made_of: counted.Texts | None) -> str:
    """Returns what text is read in, for a decision that is printed; `made_of`: the texts, if the vocabulary was made of them."""
    about = "lower-cased, without accents" if tokenizer.lower_case else "cased"
    about += f"; {len(tokenizer.vocabulary):,} {tokenizer.unit}"
    if tokenizer.unit == "words":
        about += "; unknown ones: " + FALLBACKS.get(str(tokenizer.fallback), f"{tokenizer.buckets:,} hash buckets")
    if not made_of:
        return about
    number, share = counted.unknown_share(tokenizer, made_of.texts.items())
    return f"{about}; made of the training texts, in which {share:.2%} of {number:,} {tokenizer.unit} are unknown"
