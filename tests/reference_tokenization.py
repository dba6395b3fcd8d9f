"""Google's reference tokenisation, restated in plain Python with places in the original string; for tests alone.

Written from the description of google-research/bert `tokenization.py`; `tests/trainer/text/test_word_pieces.py` holds it against the
golden ids that Google's own code gave.
"""

import unicodedata

CJK = [
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
]  # fmt: skip


def is_punctuation(character):
    code = ord(character)
    ascii_symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_symbol or unicodedata.category(character).startswith("P")


def tokens_of_text(text):
    """Yields (token, [place of each of its characters]): cleaned, split at white space and around CJK."""
    token, places = "", []
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        if character not in "\t\n\r" and (character in "\0\ufffd" or category in ("Cc", "Cf")):
            continue
        space = character.isspace() or category == "Zs"
        cjk = any(low <= ord(character) <= high for low, high in CJK)
        if (space or cjk) and token:
            yield token, places
            token, places = "", []
        if cjk:
            yield character, [place]
        elif not space:
            token, places = token + character, [*places, place]
    if token:
        yield token, places


def words_of_text(text, lower_case):
    """Yields (word, start, end): lower-cased, without accents, split around punctuation."""
    for token, places in tokens_of_text(text):
        if lower_case:
            lowered = token.lower()
            if len(lowered) != len(token):  # İ alone becomes two; its dot is dropped below
                places = [p for p, c in zip(places, token, strict=True) for _ in range(1 + (c == "İ"))]
            pairs = [
                (character, place)
                for original, place in zip(lowered, places, strict=True)
                for character in unicodedata.normalize("NFD", original)
                if unicodedata.category(character) != "Mn"
            ]
        else:
            pairs = list(zip(token, places, strict=True))
        word, word_places = "", []
        for character, place in [*pairs, (" ", -1)]:
            if (character == " " or is_punctuation(character)) and word:
                yield word, word_places[0], word_places[-1] + 1
                word, word_places = "", []
            if character != " ":
                if is_punctuation(character):
                    yield character, place, place + 1
                else:
                    word, word_places = word + character, [*word_places, place]


def pieces_of_word(word, vocabulary):
    if len(word) > 200:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


def tokenize(text, vocabulary, *, lower_case):
    """Returns [(piece, index of its word, start and end of the word in the text)]."""
    return [
        (piece, index, start, end)
        for index, (word, start, end) in enumerate(words_of_text(text, lower_case))
        for piece in pieces_of_word(word, vocabulary)
    ]
