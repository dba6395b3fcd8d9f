"""Where texts stand in a sequence that BERT reads: [CLS] pieces [SEP], or [CLS] pieces [SEP] pieces [SEP].

What the special tokens take, and where they put a text, is said here and nowhere else. Imports no framework.
"""

FIRST = 1  # place of the first text's first piece


def specials(texts=1):
    """Returns how many special tokens stand around so many texts."""
    return texts + 1


def room(max_length, texts=1):
    """Returns how many pieces of text a sequence of `max_length` holds beside its special tokens."""
    return max_length - specials(texts)


def place_of_second(first_length):
    """Returns the place of the second text's first piece behind a first text of so many pieces."""
    return FIRST + first_length + 1
