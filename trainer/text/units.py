"""The units that text may be read in: a row each."""

from trainer.text.characters import Characters
from trainer.text.joined_pieces import JoinedPieces
from trainer.text.tokenizer import Tokenizer
from trainer.text.verbatim import CodePoints, Tokens
from trainer.text.whole_words import Words
from trainer.text.word_pieces import WordPieces

UNITS: dict[str, type[Tokenizer]] = {
    unit.unit: unit for unit in (WordPieces, JoinedPieces, Words, Characters, CodePoints, Tokens)
}
