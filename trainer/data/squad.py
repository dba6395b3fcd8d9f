"""Files of questions to rows, and files of answers to scores. Imports no framework.

Questions are read from SQuAD's JSON, which SQuAD 2.0, CMRC 2018, DRCD and XQuAD have, too, and from JSON lines. A row is
{"id", "question", "context", "answers"}; `answers` are [{"text", "answer_start"}, ...], in code points, and empty where there
is none.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trainer import metrics
from trainer.data.conll import CJK
from trainer.data.schema import Row
from trainer.data.source import BOM, AnyPath
from trainer.errors import Mistake, short

FORM = "SQuAD JSON, or JSON lines with question, context, answers"
NEAR = 8  # paragraphs before and after, mostly of the same article


class Asked(NamedTuple):
    """A question as its file has it."""

    place: str  # for messages
    number: str  # stands for a missing id
    question: Any  # a JSON object, if the file is right
    paragraph: Any  # that it is asked of: the question itself, where that holds its context


def questions(content: bytes, path: AnyPath, *, answered: bool = True) -> Iterator[Row]:
    """Yields the row of each question.

    Args:
        content: Of the file.
        path: For messages.
        answered: Read the answers; otherwise question and context alone.

    Raises:
        Mistake: Something is missing or of another type; names file and place, what was found and expected.
    """
    for place, number, question, paragraph in asked(content, path):
        yield row_of(question, paragraph, number, place, answered=answered)


def asked(content: bytes, path: AnyPath, name: str = "question") -> Iterator[Asked]:
    """Yields each question of a file, as it stands there.

    Args:
        content: Of the file.
        path: For messages.
        name: By which an object is known to be a question.

    Raises:
        Mistake: The file is no JSON of questions.
    """
    try:
        text = content.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Mistake(f"{path}: expected UTF-8, found byte 0x{content[error.start]:02x} at {error.start}") from None
    first = text.split("\n", 1)[0]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text and not _is_object(first):
            raise Mistake(f"{path}: expected {FORM}, found {short(first)} ({error})") from None
        document = None
    if isinstance(document, dict) and "data" in document:
        yield from _of_document(document, path)
        return
    if isinstance(document, list) and document and all(isinstance(row, dict) for row in document):
        yield from (Asked(f"{path}:[{number}]", str(number + 1), row, row) for number, row in enumerate(document))
        return
    if document is not None and (not isinstance(document, dict) or name not in document):
        raise Mistake(f"{path}: expected {FORM}; found JSON without data")
    text = text.rstrip("\r\n")
    lines = [text] if document else text.split("\n") if text else []
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Mistake(f"{place}: expected a JSON object, found {short(line)} ({error})") from None
        yield Asked(place, str(number), row, row)


def answers_of_cells(cells: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """Returns the answers of a table's row: a text and, where there is a column of that name, `answer_start`.

    Args:
        cells: {name: cell} of the row, `context` and `answers` among them; without a place, the text's first one counts.
        place: For messages.

    Raises:
        Mistake: The context does not hold the answer, or its place is no number.
    """
    text, start = cells["answers"], str(cells.get("answer_start", "")).strip()
    if not text:
        return []
    if start and not start.isdecimal():
        raise Mistake(f"{place}: expected answer_start to be a whole number, found {short(start)}")
    first = int(start) if start else cells["context"].find(text)
    if first < 0:
        raise Mistake(f"{place}: expected an answer that stands in the context, found {short(text)}")
    return [{"text": text, "answer_start": first}]


def with_unanswerable(rows: list[Row], share: float, seed: int) -> list[Row]:
    """Adds questions without an answer: rows a second time, with a context that does not hold the answer.

    It is the context that has the most words of the question, of those near in the file. SQuAD 2.0 has such questions,
    written to fit (Rajpurkar et al. 2018); this is what can be made of SQuAD 1.1.

    Args:
        rows: Questions, as `questions` yields them.
        share: Of the rows, to add, from 0 to 1; fewer where no such context is near.
        seed: Of the draw.

    Returns:
        The rows, each added one after the one that it was made of.
    """
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    index_of = {context: i for i, context in enumerate(contexts)}
    words = [{*context.lower().split()} for context in contexts]
    mixed = []
    for row in rows:
        mixed.append(row)
        if not row["answers"] or random.Random(f"{seed} {row['id']}").random() >= share:
            continue
        index = index_of[row["context"]]
        near = [i for i in range(max(index - NEAR, 0), min(index + NEAR + 1, len(contexts))) if i != index]
        near = [i for i in near if not any(answer["text"] in contexts[i] for answer in row["answers"])]
        if near:
            asked = {*row["question"].lower().split()}
            best = max(near, key=lambda i: len(asked & words[i]))
            mixed.append(row | {"id": f"{row['id']}-unanswerable", "context": contexts[best], "answers": []})
    return mixed


def scored_as(golds: Sequence[Sequence[str]]) -> str:
    """Returns the name of the scorer that suits gold answers.

    It is CMRC 2018's where most of them are Chinese, otherwise SQuAD's; that of 2.0 where some questions have no answer.

    Args:
        golds: For each question, its right answers.
    """
    if not all(golds):
        return "SQuAD 2.0, answers compared as in CMRC 2018" if _are_chinese(golds) else "SQuAD 2.0"
    return "CMRC 2018" if _are_chinese(golds) else "SQuAD 1.1"


def _are_chinese(golds):
    answered = [texts for texts in golds if texts]
    return sum(bool(CJK.search("".join(texts))) for texts in answered) > len(answered) / 2


def score(
    golds: Sequence[Sequence[str]], answers: Sequence[str], null_scores: Sequence[float] | None = None
) -> dict[str, float]:
    """Scores answers by the scorer that suits the gold answers, see `scored_as`.

    Args:
        golds: For each question, its right answers.
        answers: For each question, the text to score, empty if there is none.
        null_scores: See `metrics.answered_or_not`; ignored where every question has an answer.

    Returns:
        {name: percent}.
    """
    if not all(golds):
        return metrics.answered_or_not(golds, answers, null_scores, chinese=_are_chinese(golds))
    return (metrics.answered_in_chinese if _are_chinese(golds) else metrics.answered)(golds, answers)


def score_each(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> metrics.Scores:
    """Returns (exact, f1) of each answer, from 0 to 1, by the scorer that suits the gold answers, see `scored_as`."""
    if not all(golds):
        return metrics.scores_or_not(golds, answers, chinese=_are_chinese(golds))
    return (metrics.cmrc_scores if _are_chinese(golds) else metrics.answer_scores)(golds, answers)


def score_file(content: bytes, path: AnyPath, rows: list[Row]) -> dict[str, Any]:
    """Scores a file of answers in the official form, {id: answer}.

    As in the official scripts, a question that the file leaves out is answered by "", or is not counted where some questions
    have no answer.

    Args:
        content: Of the file.
        path: For messages.
        rows: Of the questions, with gold answers.

    Returns:
        The scores in percent, the scorer's name, and how many examples were scored and are missing.

    Raises:
        Mistake: The file has another form, or answers none of these questions.
    """
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"{path}: expected JSON of the form {{id: answer}}, found something else ({error})") from None
    if not isinstance(given, dict) or not all(isinstance(answer, str) for answer in given.values()):
        raise Mistake(
            f"{path}: expected JSON of the form {{id: answer}}, found {short(content[:60].decode(errors='replace'))}"
        )
    missing = sum(row["id"] not in given for row in rows)
    if missing == len(rows):
        raise Mistake(
            f"{path}: expected answers by id, as of {rows[0]['id']}, found none to any of the {len(rows)} questions"
        )
    if not all(row["answers"] for row in rows):
        rows = [row for row in rows if row["id"] in given]
    golds = [[answer["text"] for answer in row["answers"]] for row in rows]
    scores = score(golds, [given.get(row["id"], "") for row in rows])
    scores = {name: round(value, 6) for name, value in scores.items()}
    return {"scored_as": scored_as(golds)} | scores | {"examples": len(rows), "missing": missing}


def _is_object(line):
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _of_document(document, path):
    for i, article in enumerate(_list(document, "data", path)):
        place = f"{path}: data[{i}]"
        for j, paragraph in enumerate(_list(article, "paragraphs", place)):
            place = f"{path}: data[{i}].paragraphs[{j}]"
            for k, question in enumerate(_list(paragraph, "qas", place)):
                yield Asked(f"{place}.qas[{k}]", f"{i}-{j}-{k}", question, paragraph)


def row_of(question: Any, paragraph: Any, number: str, place: str, *, answered: bool) -> Row:
    """Returns the row of a question.

    Args:
        question: Its JSON object.
        paragraph: That with its context.
        number: Stands for a missing id.
        place: For messages.
        answered: Read the answers; otherwise question and context alone.

    Raises:
        Mistake: Something is missing or of another type.
    """
    row = {"question": _text(question, "question", place), "context": _text(paragraph, "context", place)}
    if not answered:
        return row
    answers = _get(question, "answers", place)
    if isinstance(answers, dict):  # lists side by side, as on the Hugging Face hub
        texts, starts = _list(answers, "text", place), _list(answers, "answer_start", place)
        if len(texts) != len(starts):
            raise Mistake(f"{place}: expected as many answer_start as text, found {len(starts)} and {len(texts)}")
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(answers, list):
        raise Mistake(f"{place}: expected answers to be a list, found {short(json.dumps(answers))}")
    golds = []
    for answer in answers:
        start = _get(answer, "answer_start", place)
        if type(start) is not int:
            raise Mistake(f"{place}: expected answer_start to be a whole number, found {short(json.dumps(start))}")
        golds.append({"text": _text(answer, "text", place), "answer_start": start})
    given = question.get("id")
    return {"id": number if given is None else str(given)} | row | {"answers": golds}


def _get(value, name, place):
    if not isinstance(value, dict):
        raise Mistake(f"{place}: expected a JSON object with {name}, found {short(json.dumps(value))}")
    if name not in value:
        raise Mistake(f"{place}: expected {name}, found {', '.join(value) or 'nothing'}")
    return value[name]


def _list(value, name, place):
    member = _get(value, name, place)
    if not isinstance(member, list):
        raise Mistake(f"{place}: expected {name} to be a list, found {short(json.dumps(member))}")
    return member


def _text(value, name, place):
    member = _get(value, name, place)
    if not isinstance(member, str):
        raise Mistake(f"{place}: expected {name} to be a string, found {short(json.dumps(member))}")
    if any("\ud800" <= character <= "\udfff" for character in member):
        raise Mistake(f"{place}: expected {name} to be text, found half of a surrogate pair in {short(ascii(member))}")
    return member
