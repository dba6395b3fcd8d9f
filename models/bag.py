"""A bag of embeddings: the mean of a text's embeddings and a dense layer. It knows no order; what others add is measured from it.

Reference: Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text Classification", with one layer.

Glossary of shapes: B batch, S sequence length, D width, V vocabulary.
"""

import keras

from models.dropout import Dropout
from models.inputs import unit_inputs, units
from models.layers import Pooling


def bag(
    vocabulary_size: int,
    *,
    width: int = 256,
    embedding_width: int = 300,
    activation: str = "relu",
    dropout: float = 0.5,
    letters: int = 0,
    pooled_only: bool = False,
    seed: int = 0,
    name: str = "bag",
) -> keras.Model:
    """Builds the encoder.

    Args:
        vocabulary_size: V.
        width: D.
        embedding_width: Of a unit.
        activation: Of the dense layer.
        dropout: On embeddings.
        letters: See `models.inputs.units`.
        pooled_only: Return `pooled` alone.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from `models.inputs.unit_inputs` to a dict of
        `pooled`: [B, D], the dense layer on the mean of the embeddings,
        `hidden_states`: [embeddings [B, S, E], the same dense layer on each of them [B, S, D]].
    """
    inputs = unit_inputs(letters)
    x = units(inputs, vocabulary_size, embedding_width)  # [B, S, E]
    x = Dropout(dropout, seed=1000 * seed, name="embedding_dropout")(x)
    dense = keras.layers.Dense(width, activation=activation, name="layer_0_dense")
    outputs = {"pooled": dense(Pooling("mean", name="pooling")(x, inputs["mask"]))}  # [B, D]
    if not pooled_only:
        outputs["hidden_states"] = [x, dense(x)]
    return keras.Model(inputs, outputs, name=name)
