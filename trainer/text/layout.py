"""Where texts stand in a sequence that BERT reads: [CLS] pieces [SEP], or [CLS] pieces [SEP] pieces [SEP].

The arithmetic of `trainer.text.reader.Reader`, apart from it for those that may import no framework.
"""

FIRST = 1  # place of the first text's first piece


def specials(texts: int = 1) -> int:
    """Returns how many special tokens stand around so many texts."""
    return texts + 1


def room(max_length: int, texts: int = 1) -> int:
    """Returns how many pieces of text a sequence of `max_length` holds beside its special tokens.

    Example:
        >>> room(128), room(128, texts=2)
        (126, 125)
    """
    return max_length - specials(texts)
