"""Plain text in the form of WikiText, so that a model of words trained on it can be scored on WikiText's own files.

    python -m tests.bench.wikitext PLAIN_TEXT OUT

WikiText's words stand between spaces: marks apart from words, `@-@` for a hyphen within a word, `@,@` and `@.@` within numbers, `'s`
and `n't`'s parts apart, as the tokenizer of Moses has them. OUT has a paragraph a line, a blank line between documents. It prints
how many words there are; rare ones are left to the vocabulary of the run (--vocabulary_min_count 3, as WikiText has it).
"""

import re
import sys

from trainer.data.plain_text import PlainText

RULES = [
    (r"(\w)-(?=\w)", r"\1 @-@ "),
    (r"(?<=\d),(?=\d)", " @,@ "),
    (r"(?<=\d)\.(?=\d)", " @.@ "),
    (r"([^\w\s@.,'’\-–])", r" \1 "),
    (r"(?<!@)([,–])(?!@)", r" \1 "),
    (r"(?<=\w)['’](s|t|re|ve|ll|d|m)\b", r" '\1"),
    (r"(?<!\w)['’](?!(?:s|t|re|ve|ll|d|m)\b)|['’](?!\w)", " ' "),
    (r"(?<![A-Z@.])\.(?=\s|$|[\"'”)])", " ."),  # not behind initials
]


def as_wikitext(line: str) -> str:
    """Returns a line in the form of WikiText.

    Example:
        >>> as_wikitext("The 1,500-year-old king's men (all 3.5%) don't.")
        "The 1 @,@ 500 @-@ year @-@ old king 's men ( all 3 @.@ 5 % ) don 't ."
    """
    for pattern, replacement in RULES:
        line = re.sub(pattern, replacement, line)
    return " ".join(line.split())


def main() -> None:
    source, target = sys.argv[1:]
    words = 0
    with open(target, "w", encoding="utf-8") as file:
        for line in PlainText([source]).lines():
            written = as_wikitext(line)
            words += len(written.split()) + 1
            file.write(written + "\n")
    print(f"{words:,} words, ends of lines counted, in {target}")


if __name__ == "__main__":
    main()
