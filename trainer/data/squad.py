"""Files of questions to rows, and of answers to scores: SQuAD's JSON (also of SQuAD 2.0, CMRC 2018, DRCD, XQuAD), and JSON
lines. Imports no framework.

A row is {"id", "question", "context", "answers"}; `answers` are [{"text", "answer_start"}, ...], in code points, and empty
where there is none.
"""

import json
import random

from trainer import metrics
from trainer.data.conll import CJK
from trainer.errors import Mistake, short

FORM = "SQuAD JSON, or JSON lines with question, context, answers"


def questions(content, path, *, answered=True):
    """Yields the row of each question; without `answered`, its question and context alone.

    Args:
        content: Of the file, bytes.
        path: For messages.

    Raises:
        Mistake: Something is missing or of another type; names file and place, what was found and expected.
    """
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
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
        yield from _of_document(document, path, answered)
        return
    if isinstance(document, list) and document and all(isinstance(row, dict) for row in document):
        for number, row in enumerate(document):
            yield _row(row, row, str(number + 1), f"{path}:[{number}]", answered)
        return
    if document is not None and (not isinstance(document, dict) or "question" not in document):
        raise Mistake(f"{path}: expected {FORM}; found JSON without data")
    text = text.rstrip("\r\n")
    lines = [text] if document else text.split("\n") if text else []
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Mistake(f"{place}: expected a JSON object, found {short(line)} ({error})") from None
        yield _row(row, row, str(number), place, answered)


NEAR = 8  # paragraphs before and after, mostly of the same article


def with_unanswerable(rows, share, seed):
    """Returns rows, and a share of them a second time, with a context that does not hold the answer: the one, of those near
    in the file, that has the most words of the question.

    SQuAD 2.0 has such questions, written to fit (Rajpurkar et al. 2018); this is what can be made of SQuAD 1.1.
    """
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    place = {context: i for i, context in enumerate(contexts)}
    words = [{*context.lower().split()} for context in contexts]
    found = []
    for row in rows:
        found.append(row)
        if not row["answers"] or random.Random(f"{seed} {row['id']}").random() >= share:
            continue
        own = place[row["context"]]
        near = [i for i in range(max(own - NEAR, 0), min(own + NEAR + 1, len(contexts))) if i != own]
        near = [i for i in near if not any(answer["text"] in contexts[i] for answer in row["answers"])]
        if near:
            asked = {*row["question"].lower().split()}
            best = max(near, key=lambda i: len(asked & words[i]))
            found.append(row | {"id": f"{row['id']}-unanswerable", "context": contexts[best], "answers": []})
    return found


def scored_as(golds):
    """Returns whose scorer is right for lists of gold answers: CMRC 2018's where most are Chinese, else SQuAD's, 2.0 where
    some questions have none."""
    if not all(golds):
        return "SQuAD 2.0, answers compared as in CMRC 2018" if _are_chinese(golds) else "SQuAD 2.0"
    return "CMRC 2018" if _are_chinese(golds) else "SQuAD 1.1"


def _are_chinese(golds):
    answered = [texts for texts in golds if texts]
    return sum(bool(CJK.search("".join(texts))) for texts in answered) > len(answered) / 2


def score(golds, answers, null_scores=None):
    """Returns the scores of answers, in percent, by the scorer that is right for the gold ones; `null_scores` are looked at
    where some questions have no answer."""
    if not all(golds):
        return metrics.answered_or_not(golds, answers, null_scores, chinese=_are_chinese(golds))
    return (metrics.answered_in_chinese if _are_chinese(golds) else metrics.answered)(golds, answers)


def score_file(content, path, rows):
    """Returns the scores of a file of answers in the official form, {id: answer}. A question that it leaves out is answered
    by "", or not counted where some questions have no answer: so the official scripts do.

    Args:
        content: Of the file, bytes.
        path: For messages.
        rows: Of the questions, with gold answers.

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


def _of_document(document, path, answered):
    for i, article in enumerate(_list(document, "data", path)):
        place = f"{path}: data[{i}]"
        for j, paragraph in enumerate(_list(article, "paragraphs", place)):
            place = f"{path}: data[{i}].paragraphs[{j}]"
            for k, question in enumerate(_list(paragraph, "qas", place)):
                yield _row(question, paragraph, f"{i}-{j}-{k}", f"{place}.qas[{k}]", answered)


def _row(question, paragraph, number, place, answered):
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
    found = []
    for answer in answers:
        start = _get(answer, "answer_start", place)
        if type(start) is not int:
            raise Mistake(f"{place}: expected answer_start to be a whole number, found {short(json.dumps(start))}")
        found.append({"text": _text(answer, "text", place), "answer_start": start})
    own = question.get("id")
    return {"id": number if own is None else str(own)} | row | {"answers": found}


def _get(value, name, place):
    if not isinstance(value, dict):
        raise Mistake(f"{place}: expected a JSON object with {name}, found {short(json.dumps(value))}")
    if name not in value:
        raise Mistake(f"{place}: expected {name}, found {', '.join(value) or 'nothing'}")
    return value[name]


def _list(value, name, place):
    found = _get(value, name, place)
    if not isinstance(found, list):
        raise Mistake(f"{place}: expected {name} to be a list, found {short(json.dumps(found))}")
    return found


def _text(value, name, place):
    found = _get(value, name, place)
    if not isinstance(found, str):
        raise Mistake(f"{place}: expected {name} to be a string, found {short(json.dumps(found))}")
    if any("\ud800" <= character <= "\udfff" for character in found):
        raise Mistake(f"{place}: expected {name} to be text, found half of a surrogate pair in {short(ascii(found))}")
    return found
