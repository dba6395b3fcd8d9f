"""Words to word pieces, inside the graph, equal to Google's reference tokenisation.

Reference: `FullTokenizer` of google-research/bert (`tokenization.py`): greedy longest match in words as
`trainer.text.words` gives them.
"""

import tensorflow as tf
import tensorflow_text as tf_text

from trainer.text.tokenizer import Fallback, Tokenizer
from trainer.text.vocabulary import UNKNOWN
from trainer.text.words import Split, length

MAX_WORD_CHARACTERS = 200  # longer words become one [UNK], as in the reference


class WordPieces(Tokenizer):
    """BERT's pieces: a word of which no pieces are known is one [UNK]."""

    unit = "pieces"

    def __init__(
        self, vocabulary: list[str], *, lower_case: bool, fallback: Fallback = "unk", letters: int = 0
    ) -> None:
        super().__init__(vocabulary, lower_case=lower_case, fallback=fallback, letters=letters)
        self._unknown_word = "a" * (4 * MAX_WORD_CHARACTERS + 1)  # past the byte limit: always [UNK]
        self._wordpiece = tf_text.FastWordpieceTokenizer(
            self.vocabulary,
            unknown_token=UNKNOWN,
            no_pretokenization=True,
            max_bytes_per_word=4 * MAX_WORD_CHARACTERS,  # a code point has at most 4; code points are counted below
            token_out_type=tf.int32,
        )

    def cut(self, split: Split) -> tuple[Split, tf.RaggedTensor]:
        too_long = length(split.words) > MAX_WORD_CHARACTERS
        return split, self._wordpiece.tokenize(tf.where(too_long, self._unknown_word, split.words))
