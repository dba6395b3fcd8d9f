"""How a model that writes reads: the text as the lineage before BERT does, and what is to be written behind it.

Glossary of shapes: B batch, P pieces of a text, T target length of a batch.
"""

import tensorflow as tf

from models.seq2seq import TARGET
from trainer.text.joined_pieces import JoinedPieces
from trainer.text.plain_reader import PlainReader
from trainer.text.vocabulary import PADDING, SEPARATOR, START

NOTHING = -1  # what stands in targets behind the end


class WritingReader(PlainReader):
    """Reads [CLS] A; a target B is read as [CLS] B, and B [SEP] is what is to be written behind each of these.

    `max_length` is what each of them has.
    """

    tokenizer: JoinedPieces

    def inputs(self, texts: int = 1) -> dict[str, tf.TensorSpec]:
        return super().inputs() | {f"{TARGET}token_ids": tf.TensorSpec([None, None], tf.int32)}

    @property
    def start(self) -> int:
        """Returns the id of the mark before a target."""
        return self.tokenizer.vocabulary.index(START)

    @property
    def end(self) -> int:
        """Returns the id of the mark behind it."""
        return self.tokenizer.vocabulary.index(SEPARATOR)

    def frame_target(self, ids: tf.RaggedTensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Frames and pads the pieces of targets; what is too long loses its end, the mark too.

        Args:
            ids: int32 [B, (P)].

        Returns:
            `target_token_ids` int32 [B, T], and what follows each of them, int32 [B, T], `NOTHING` behind the end.
        """
        column = lambda token: tf.fill([ids.nrows(), 1], token)
        read = tf.concat([column(self.start), ids], axis=1)[:, : self.max_length]
        written = tf.concat([ids, column(self.end)], axis=1)[:, : self.max_length]
        padding = self.tokenizer.vocabulary.index(PADDING)
        return {f"{TARGET}token_ids": read.to_tensor(padding)}, written.to_tensor(NOTHING)
