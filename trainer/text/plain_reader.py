"""How the lineage before BERT reads: a text is its units behind one mark of its beginning; two texts are read apart.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch.
"""

from typing import Any

import tensorflow as tf

from models.pairs import SECOND
from trainer.text.reader import Reader, cut, pair_lengths
from trainer.text.word_pieces import PADDING, START


class PlainReader(Reader):
    """Reads [CLS] A, or two texts apart: [CLS] A and [CLS] B. The mark makes that no row is empty, and is the place that a
    question without an answer points at.

    `max_length` is what both have together.
    """

    after = 0  # special tokens behind a text

    def inputs(self, texts: int = 1) -> dict[str, tf.TensorSpec]:
        specs = {
            "token_ids": tf.TensorSpec([None, None], tf.int32),
            "mask": tf.TensorSpec([None, None], tf.bool),
        }
        return specs if texts == 1 else specs | {SECOND + name: spec for name, spec in specs.items()}

    def place_of_second(self, first_length: Any) -> Any:
        return self.first + 0 * first_length

    def frame(self, ids: tf.RaggedTensor, second: tf.RaggedTensor | None = None) -> dict[str, tf.Tensor]:
        """Marks and pads one text a row, or two; see `Reader.frame`.

        Returns:
            The inputs of a model of one text, `token_ids` int32 [B, S] and `mask` bool [B, S]; or of `models.pairs.pair`.
        """
        if second is None:
            return self._marked(ids[:, : self.room()])
        first_lengths, second_lengths = pair_lengths(ids.row_lengths(), second.row_lengths(), self.room(2))
        of_second = self._marked(cut(second, second_lengths))
        return self._marked(cut(ids, first_lengths)) | {SECOND + name: x for name, x in of_second.items()}

    def _marked(self, ids):
        start, padding = map(self.tokenizer.vocabulary.index, (START, PADDING))
        marked = tf.concat([tf.fill([tf.shape(ids.row_lengths())[0], 1], start), ids], axis=1)
        longest = tf.maximum(tf.reduce_max(marked.row_lengths()), 1)  # an empty batch, too, has a first unit to slice
        token_ids = marked.to_tensor(padding, shape=tf.stack([tf.constant(-1, longest.dtype), longest]))  # [B, S]
        return {"token_ids": token_ids, "mask": tf.sequence_mask(marked.row_lengths(), longest)}
