"""Raw strings to what a model reads, as one object: pieces with their places, framing, and how much room there is for text.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch, L letters of a word. With letters (see
`trainer.text.letters`), pieces [B, (P)] are [B, (P), 1 + L] throughout.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.text import layout, letters
from trainer.text.pieces import Pieces
from trainer.text.tokenizer import Tokenizer
from trainer.text.vocabulary import PADDING, SEPARATOR, START


class Reader:
    """How BERT reads: word pieces of one text, [CLS] A [SEP], or of two, [CLS] A [SEP] B [SEP].

    What a special token takes, and where it puts a text, is asked here and stands nowhere else. All methods but `ids`,
    `pieces` and the call itself may be part of a graph.

    Args:
        tokenizer: Cuts strings into pieces.
        max_length: Longest sequence in pieces, special tokens included.
    """

    first = layout.FIRST  # place of the first text's first piece

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length

    def inputs(self, texts: int = 1) -> dict[str, tf.TensorSpec]:
        """Returns what a model of so many texts is given; for the signature of a tf.function, so that no length is traced anew."""
        ids, mask = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.bool)
        return {"token_ids": ids, "segment_ids": ids, "mask": mask} | letters.inputs(self.tokenizer.letters)

    def __call__(self, texts: Sequence[str], second: Sequence[str] | None = None) -> dict[str, tf.Tensor]:
        """Returns the inputs of a model for texts [B], or for as many pairs; see `frame`.

        Raises:
            TypeError: `texts` is no list, or empty.
        """
        if isinstance(texts, str) or len(texts) == 0:
            raise TypeError(f"expected a list of texts, received {texts!r}")
        columns = [self.ids([str(text) for text in column]) for column in (texts, second) if column is not None]
        return {name: tf.convert_to_tensor(tensor) for name, tensor in self.frame(*columns).items()}

    def room(self, texts: int = 1) -> int:
        """Returns how many pieces of text, or of two texts together, a sequence holds."""
        return layout.room(self.max_length, texts)

    def place_of_second(self, first_length: Any) -> Any:
        """Returns the place of the second text's first piece behind a first text of so many pieces (a number, or [B])."""
        return layout.FIRST + first_length + 1

    def lengths(self, ids: tf.RaggedTensor, second: tf.RaggedTensor | None = None) -> np.ndarray:
        """Returns how long the sequences of texts [B, (P)] would be if nothing were cut: [B]."""
        texts = [ids] if second is None else [ids, second]
        return sum(text.row_lengths().numpy() for text in texts) + layout.specials(len(texts))

    def ids(self, texts: Sequence[str], chunk: int = 1024) -> tf.RaggedTensor:
        """Returns the pieces of texts [B], int32 [B, (P)], by the function that an exported model holds."""
        chunks = [texts[i : i + chunk] for i in range(0, len(texts), chunk)]
        return tf.concat([self.tokenizer.traced_ids(tf.constant(chunk)) for chunk in chunks], axis=0)

    def pieces(self, texts: Sequence[str], chunk: int = 256) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields, for each text: ids of its pieces, which of them begin a word, where the words of the pieces start and end."""
        for i in range(0, len(texts), chunk):
            pieces: Pieces = self.tokenizer.traced(tf.constant(texts[i : i + chunk]))
            flat = [field.flat_values for field in (pieces.ids, pieces.starts, pieces.ends)]
            ids, starts, ends = (values.numpy() for values in flat)
            begins = pieces.begins().numpy()
            for start, end in pairwise(pieces.ids.row_splits.numpy()):
                yield ids[start:end], begins[start:end], starts[start:end], ends[start:end]

    def frame(self, ids: tf.RaggedTensor, second: tf.RaggedTensor | None = None) -> dict[str, tf.Tensor]:
        """Frames and pads one text a row, or two.

        What is too long loses its end; of two texts always the longer one, as in Google's `_truncate_seq_pair`.

        Args:
            ids: int32 [B, (P)].
            second: int32 [B, (P)], of the second texts.

        Returns:
            The inputs of `models.bert.bert`: `token_ids`, `segment_ids` int32 [B, S] and `mask` bool [B, S]; with letters
            of words also `letters` int32 [B, S, L], 0 for special tokens.
        """
        of_words = self.tokenizer.letters
        start, separator, padding = (
            letters.token(self.tokenizer.vocabulary.index(token), of_words) for token in (START, SEPARATOR, PADDING)
        )
        rows = tf.shape(ids.row_lengths())[0]
        column = lambda token: tf.broadcast_to(token, [rows, 1, *token.shape])
        if second is None:  # one text, as most, in fewer operations than rows of any length take
            kept = tf.minimum(ids.row_lengths(), self.room())
            lengths = kept + 2
            longest = tf.maximum(tf.reduce_max(lengths), 2)  # an empty batch, too, has a first token to slice
            behind = ids.to_tensor(padding, shape=_shape(longest - 1, padding))
            ends = tf.equal(tf.range(longest - 1), kept[:, None])
            behind = tf.where(ends[..., None] if of_words else ends, separator, behind)
            framed = tf.concat([column(start), behind], axis=1)
        else:
            of_texts = pair_lengths(ids.row_lengths(), second.row_lengths(), self.room(2))
            parts = [
                column(start),
                cut(ids, of_texts[0]),
                column(separator),
                cut(second, of_texts[1]),
                column(separator),
            ]
            ragged = tf.concat(parts, axis=1)
            lengths = ragged.row_lengths()
            longest = tf.maximum(tf.reduce_max(lengths), 2)
            framed = ragged.to_tensor(padding, shape=_shape(longest, padding))
        inputs = letters.apart(framed, of_words)  # token_ids [B, S]
        mask = tf.sequence_mask(lengths, longest)
        segment_ids = tf.zeros_like(inputs["token_ids"])
        if second is not None:
            before = tf.sequence_mask(self.place_of_second(of_texts[0]), longest)
            segment_ids = tf.cast(mask & ~before, tf.int32)  # 1 behind the first [SEP]
        return inputs | {"segment_ids": segment_ids, "mask": mask}

    def align(self, values: tf.RaggedTensor, inputs: dict[str, tf.Tensor], empty: int) -> tf.Tensor:
        """Returns values of the pieces of first texts [B, (P)] at their places in the inputs that `frame` made: [B, S]."""
        shape = tf.shape(inputs["token_ids"], values.row_splits.dtype) - [0, self.first]
        kept = values[:, : self.room()]
        return tf.pad(kept.to_tensor(empty, shape=shape), [[0, 0], [self.first, 0]], constant_values=empty)


def _shape(length, token):
    """Returns the shape of rows of tokens [?, length, ...]."""
    return tf.stack([tf.constant(-1, length.dtype), length, *token.shape])


def pair_lengths(first: tf.Tensor, second: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns how many pieces of two texts stay, if both together may have `most`: the longer loses its last, one by one."""
    kept = tf.minimum(first, tf.maximum(most - second, (most + 1) // 2))
    return kept, tf.minimum(second, most - kept)


def cut(ids: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    """Returns the first so many pieces of each row."""
    starts = ids.row_starts()
    return tf.gather(ids.flat_values, tf.ragged.range(starts, starts + lengths, row_splits_dtype=lengths.dtype))
