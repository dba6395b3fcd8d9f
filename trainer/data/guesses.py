"""Names that people give to columns, beside those of published data sets: taken where a single one can be meant.

Imports no framework.
"""

import re
from collections.abc import Mapping, Sequence

# Field -> names, in small letters, with spaces for what else stands between words
NAMES = {
    "text": (
        "text", "sentence", "text a", "review", "reviews", "review text", "reviewtext", "review body", "comment", "comments",
        "comment text", "content", "contents", "body", "tweet", "message", "sms", "post", "utterance", "feedback", "document",
        "description", "title", "headline", "question", "query",
        "文本", "内容", "评论", "评论内容", "评价", "评价内容", "句子", "正文", "文章", "标题", "留言", "微博", "问题",
    ),
    "text_b": ("text b", "sentence2", "sentence 2", "question2", "question 2", "文本2", "句子2"),
    "premise": ("premise", "sentence1", "sentence 1", "前提", "句子1"),
    "hypothesis": ("hypothesis", "sentence2", "sentence 2", "假设", "句子2"),
    "question": ("question", "query", "问题"),
    "context": ("context", "passage", "paragraph", "document", "上下文", "段落", "文章", "原文"),
    "words": ("words", "tokens", "词", "词语"),
    "source": ("source", "src", "source text", "原文", "源文"),
    "target": ("target", "tgt", "target text", "translation", "译文", "翻译"),
    "label": (
        "label", "class", "class name", "class index", "category", "sentiment", "polarity", "target", "rating", "stars",
        "emotion", "intent", "topic", "tag", "标签", "类别", "分类", "类型", "情感", "情绪", "情感倾向", "评分", "星级",
    ),
    "labels": (
        "labels", "label", "tags", "categories", "classes", "topics", "genres", "emotions",
        "标签", "类别", "分类",
    ),
    "score": (
        "score", "rating", "stars", "similarity", "grade", "value", "target", "label",
        "分数", "得分", "评分", "相似度", "星级",
    ),
    "tags": ("tags", "upos", "pos tags", "ner tags", "标注", "词性"),
    "answers": ("answer", "answer text", "答案"),
}  # fmt: skip
IDENTIFIERS = ("id", "index", "idx", "no", "date", "name", "user", "编号", "序号", "日期")
KNOWN = {*IDENTIFIERS, *(name for names in NAMES.values() for name in names)}


def normal(name: str) -> str:
    """Returns a name as `NAMES` has it: small letters, single spaces between words."""
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())


def candidates(field: str, names: Sequence[str], taken: Mapping[str, str]) -> list[str]:
    """Returns the names that can be meant by a field, in the file's order.

    Args:
        field: Of a task.
        names: Of the columns.
        taken: {field: name} of those that are other fields.
    """
    free = [name for name in names if name not in taken.values()]
    return [name for name in free if normal(name) in NAMES.get(field, ())]


def are_names(cells: Sequence[str]) -> bool:
    """Says whether the cells of a line look like names of columns: none a number, a known name among them."""
    given = [normal(cell) for cell in cells if cell.strip()]
    return any(name in KNOWN for name in given) and not any(re.fullmatch(r"[+-]?\d*[.,]?\d+", name) for name in given)


def are_known(cells: Sequence[str]) -> bool:
    """Says whether all cells of a line are known names of columns."""
    return all(normal(cell) in KNOWN for cell in cells)
