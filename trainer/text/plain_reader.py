"""How the lineage before BERT reads: a text is its units behind one mark of its beginning; two texts are read apart.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch.
"""

from typing import Any

import tensorflow as tf

from models.pairs import SECOND
from trainer.text import letters
from trainer.text.reader import Reader, cut, pair_lengths
from trainer.text.vocabulary import PADDING, START


class PlainReader(Reader):
    """Reads [CLS] A, or two texts apart: [CLS] A and [CLS] B. The mark makes that no row is empty, and is the place that a
    question without an answer points at.

    `max_length` is what both have together.
    """

    def inputs(self, texts: int = 1) -> dict[str, tf.TensorSpec]:
        ids, mask = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.bool)
        specs = {"token_ids": ids, "mask": mask} | letters.inputs(self.tokenizer.letters)
        return specs if texts == 1 else specs | {SECOND + name: spec for name, spec in specs.items()}

    def place_of_second(self, first_length: Any) -> Any:
        return self.first + 0 * first_length

    def frame(self, ids: tf.RaggedTensor, second: tf.RaggedTensor | None = None) -> dict[str, tf.Tensor]:
        """Marks and pads one text a row, or two; see `Reader.frame`.

        Returns:
            The inputs of a model of one text, see `models.inputs.unit_inputs`; or of two, see `models.pairs.pair`.
        """
        if second is None:
            return self._marked(ids[:, : self.room()])
        first_lengths, second_lengths = pair_lengths(ids.row_lengths(), second.row_lengths(), self.room(2))
        of_second = self._marked(cut(second, second_lengths))
        return self._marked(cut(ids, first_lengths)) | {SECOND + name: x for name, x in of_second.items()}

    def _marked(self, ids):
        of_words = self.tokenizer.letters
        start, padding = (letters.token(self.tokenizer.vocabulary.index(token), of_words) for token in (START, PADDING))
        rows = tf.shape(ids.row_lengths())[0]
        marked = tf.concat([tf.broadcast_to(start, [rows, 1, *start.shape]), ids], axis=1)
        longest = tf.maximum(tf.reduce_max(marked.row_lengths()), 1)  # an empty batch, too, has a first unit to slice
        shape = [tf.constant(-1, longest.dtype), longest, *padding.shape]
        inputs = letters.apart(marked.to_tensor(padding, shape=tf.stack(shape)), of_words)  # token_ids [B, S]
        return inputs | {"mask": tf.sequence_mask(marked.row_lengths(), longest)}
