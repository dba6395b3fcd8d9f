"""What a model writes: strings in, strings out, with scores and the words of the source that they are aligned to.

Glossary of shapes: B batch, K hypotheses, P pieces of a text, L most units that are written, W words of a text.
"""

from typing import Any

import keras
import tensorflow as tf

from trainer.generation import decode
from trainer.tasks.setup import Setup
from trainer.tasks.write.examples import reader_of
from trainer.text import windows
from trainer.text.vocabulary import MASK, PADDING, START, UNKNOWN

NEVER = (PADDING, UNKNOWN, START, MASK)  # is written


def functions(model: keras.Model, setup: Setup) -> dict[str, Any]:
    """Returns {"serving_default", "nbest"}: tf.functions of sources [B].

    serving_default -> `target`, `score` [B], of `decode.Written`: by default the mean of the logarithms of the probabilities of
    its units; of a model with attention also `starts`, `ends` [B, W], the places of the words of the target, and `source_starts`, `source_ends`, those of
    the words of the source that it looked at most when it wrote them, in code points; -1 where there is none.
    nbest -> `targets`, `scores` [B, K], the best first; where there are fewer, the score is below -1e8.
    A source without a word is translated to an empty target, of score 0, without an alignment.
    """
    writer = Writer(model, setup)
    tokenizer, beams = writer.reader.tokenizer, writer.beams

    def best(sources):
        pieces = tokenizer(tf.ensure_shape(sources, [None]))  # A session does not look at shapes.
        written = writer(pieces.ids, beams)
        targets = tokenizer.text(written.ids[:, 0])
        answer = {"target": targets, "score": written.scores[:, 0]}
        return answer | (writer.alignment(pieces, targets, written) if writer.aligns else {})

    def nbest(sources):
        written = writer(tokenizer(tf.ensure_shape(sources, [None])).ids, beams)
        flat = tokenizer.text(tf.reshape(written.ids, [-1, setup.reader.max_length]))
        return {"targets": tf.reshape(flat, [-1, beams]), "scores": written.scores}

    signature = [tf.TensorSpec([None], tf.string, name=setup.fields[0])]
    return {
        name: tf.function(function, input_signature=signature, autograph=False)
        for name, function in (("serving_default", best), ("nbest", nbest))
    }


class Writer:
    """Writes what a model makes of sources; a plain function of its input that any graph can hold."""

    def __init__(self, model: keras.Model, setup: Setup) -> None:
        self.encoder, self.decoder = model.get_layer("encoder"), model.get_layer("decoder")
        self.reader = reader_of(setup)
        assert setup.beams and setup.length_penalty is not None  # the kind's runs have them
        self.beams, self.length_penalty = setup.beams, setup.length_penalty
        self.aligns = "alignments" in self.decoder.output
        vocabulary = self.reader.tokenizer.vocabulary
        self.allowed = tf.constant([piece not in NEVER for piece in vocabulary])

    def __call__(self, ids: tf.RaggedTensor, beams: int) -> decode.Written:
        """Returns what is written for the pieces of sources, `windows.WINDOWS` rows at once.

        Args:
            ids: int32 [B, (P)].
            beams: K.

        Returns:
            See `decode.Written`; L is the reader's `max_length`.
        """
        most = self.reader.max_length

        def read(i, *before):
            found = self._written(ids[i : i + windows.WINDOWS], beams)
            wide = lambda x: tf.pad(x, [[0, 0], [0, 0], [0, most - tf.shape(x)[2]]])
            parts = (wide(found.ids), found.lengths, found.scores, wide(found.places))
            return i + windows.WINDOWS, *[tf.concat(pair, axis=0) for pair in zip(before, parts, strict=True)]

        shapes = [(beams, most), (beams,), (beams,), (beams, most)]
        types = [tf.int32, tf.int32, tf.float32, tf.int32]
        empty = [tf.zeros([0, *shape], dtype) for shape, dtype in zip(shapes, types, strict=True)]
        _, *written = tf.while_loop(
            lambda i, *_: i < ids.nrows(tf.int32),
            read,
            (tf.constant(0), *empty),
            shape_invariants=(tf.TensorShape([]), *[tf.TensorShape([None, *shape]) for shape in shapes]),
            parallel_iterations=1,
        )
        return decode.Written(*written)

    def _written(self, ids, beams):
        inputs = self.reader.frame(ids)
        read = self.encoder(inputs, training=False)
        length = tf.reduce_sum(tf.cast(inputs["mask"], tf.int32), axis=1)  # [B]
        nothing = ids.row_lengths() == 0  # [B], to translate: all that may be written is the end
        longest = tf.where(nothing, 1, tf.minimum(2 * length + 20, self.reader.max_length))
        written = decode.beams(
            self._following,
            read["memory"],
            read["states"],
            start=self.reader.start,
            end=self.reader.end,
            allowed=self.allowed,
            width=beams,
            longest=longest,
            alpha=self.length_penalty,
        )
        certain = nothing[:, None] & (written.lengths == 0)
        return written._replace(scores=tf.where(certain, 0.0, written.scores))

    def _following(self, ids, memory, states):
        found = self.decoder({"token_ids": ids, **memory, **states}, training=False)
        alignments = found.get("alignments")  # [N, T, S]
        if alignments is not None:  # the mark before the source is no word
            alignments -= tf.one_hot(0, tf.shape(alignments)[2])
        return decode.Step(found["logits"], found["states"], alignments)

    def alignment(self, sources: Any, targets: tf.Tensor, written: decode.Written) -> dict[str, tf.Tensor]:
        """Returns where the words of the best hypotheses stand, and the words of the source that each is aligned to.

        A word is aligned to where the model looked when it wrote the first of its units.

        Args:
            sources: `trainer.text.pieces.Pieces` of B rows.
            targets: [B].
            written: What they were made of.
        """
        tokenizer = self.reader.tokenizer
        words = tokenizer.split(targets)
        starts, rows = words.starts, words.rows  # [words of all rows]
        behind = tf.gather(tokenizer.ends(written.ids[:, 0]), rows)  # [words, L], where each unit ends
        unit = tf.reduce_sum(tf.cast(behind <= starts[:, None], tf.int32), axis=1)
        place = tf.gather(tf.gather(written.places[:, 0], rows), unit, batch_dims=1)  # in [CLS] A
        found = {"starts": starts, "ends": words.ends}
        for name, of_pieces in (("source_starts", sources.starts), ("source_ends", sources.ends)):
            padded = tf.pad(of_pieces.to_tensor(-1), [[0, 0], [self.reader.first, 0]], constant_values=-1)
            found[name] = tf.gather(tf.gather(padded, rows), place, batch_dims=1)
        padded = lambda x: tf.RaggedTensor.from_row_splits(x, words.row_splits, validate=False).to_tensor(-1)
        return {name: padded(x) for name, x in found.items()}
