"""Encoder and decoder: one sequence in, another out, of another length (Sutskever et al. 2014, Cho et al. 2014).

Glossary of shapes: B batch, S source length, T target length, E width of embeddings, D width, V vocabulary.

A model of this kind is two models, so that a decoder can run step by step without its encoder:

    encoder    source `token_ids`, `mask` -> `memory`, what the decoder looks back at, and `states`, what it begins with
    decoder    target `token_ids`, `memory`, `states` -> `logits` of what comes next, and `states` behind them
"""

import keras
from keras import ops

from models.attention import SCORES, Attention
from models.inputs import embedding_of_units, unit_inputs
from models.layers import Bias, Pooling, backward, register
from models.recurrent import CELLS, RecurrentLayer, carry

TARGET = "target_"  # before the name of the decoder's token ids, in the model of both
MASK = "memory_mask"


def seq2seq(
    vocabulary_size: int,
    *,
    cell: str = "gru",
    layers: int = 1,
    width: int = 512,
    embedding_width: int = 256,
    attention: str | None = "additive",
    dropout: float = 0.3,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Builds a recurrent encoder of both directions and a recurrent decoder.

    References: Cho et al. 2014 (arXiv 1406.1078) and Sutskever et al. 2014 (arXiv 1409.3215) without attention: all that the
    decoder knows of the source is one vector, from which it begins and which it sees at every step. With it, a new context at
    every step: Bahdanau et al. 2014 (arXiv 1409.0473), Luong et al. 2015 (arXiv 1508.04025). What differs: the state of the
    decoder's first layer asks, after it has read the last unit, and the context goes to the layers above and to the output
    (as in Wu et al. 2016, arXiv 1609.08144), so that all steps of a known target are computed at once. Source and target have
    one vocabulary and one embedding, and the output multiplies by it (Press and Wolf 2016, arXiv 1608.05859).

    Args:
        vocabulary_size: V, of source and target together.
        cell: `rnn`, `lstm` or `gru`.
        layers: Of the encoder, and of the decoder.
        width: D, of a layer; of the encoder's half of it in each direction.
        embedding_width: E.
        attention: One of `models.attention.SCORES`; None: one fixed context.
        dropout: On the input of each layer and on the output; the same at every step.
        seed: Of the dropout.

    Returns:
        (encoder, decoder), `keras.Model`s.
        The encoder maps `token_ids` int32 [B, S], `mask` bool [B, S] to a dict of
        `memory`: `context` [B, D], or with attention `keys`, `values` [B, S, D], and `memory_mask` [B, S],
        `states`: `layer_I_state_J` [B, D] of the decoder.
        The decoder maps `token_ids` [B, T], and what stands in `memory` and `states`, to a dict of the following; `token_ids`
        and `states` may have K rows for each of `memory`, side by side.
        `logits` [B, T, V], of the unit behind each,
        `states`: likewise,
        `alignments` [B, T, S], with attention.

    Raises:
        ValueError: An argument is none of its values; the width is odd.
    """
    for argument, value, expected in (("cell", cell, tuple(CELLS)), ("attention", attention, (None, *SCORES))):
        if value not in expected:
            raise ValueError(f"{argument}: expected one of {', '.join(map(str, expected))}, received {value}")
    if width % 2:
        raise ValueError(f"width: expected an even number, half of it for each direction, received {width}")
    seeds = iter(range(1000 * seed, 1000 * seed + 8 * layers + 8))
    embed = embedding_of_units(vocabulary_size, embedding_width)

    def drop(x, name):
        return keras.layers.SpatialDropout1D(dropout, seed=next(seeds), name=name)(x)  # the same at every step

    # Encoder
    inputs = unit_inputs()
    mask = inputs["mask"]
    x = embed(inputs["token_ids"])  # [B, S, E]
    for i in range(layers):
        x = drop(x, f"encoder_{i}_dropout")
        halves = [RecurrentLayer(cell, width // 2, seed=next(seeds), name=f"encoder_{i}_{way}") for way in WAYS]
        forward = halves[0](x)
        turned, turned_back = backward(halves[1], x, mask, f"encoder_{i}")
        ends = [forward, turned]
        x = keras.layers.Concatenate(name=f"encoder_{i}_merge")([forward, turned_back])  # [B, S, D]
    ends = [Pooling("last", name=f"encoder_end_{way}")(end, mask) for way, end in zip(WAYS, ends, strict=True)]
    context = keras.layers.Concatenate(name="context")(ends)  # [B, D]
    memory = {"context": context}
    if attention:
        memory = {"keys": keras.layers.Dense(width, use_bias=False, name="memory_keys")(x), "values": x, MASK: mask}
    begin = {  # Bahdanau et al., appendix A.2.2
        f"layer_{i}_state_{j}": keras.layers.Dense(width, "tanh", name=f"layer_{i}_begin_{j}")(context)
        for i in range(layers)
        for j in range(CELLS[cell].states)
    }
    encoder = keras.Model(inputs, {"memory": memory, "states": begin}, name="encoder")

    # Decoder
    token_ids = keras.Input([None], dtype="int32", name="token_ids")  # [B, T]
    recalled = {name: keras.Input(y.shape[1:], dtype=y.dtype, name=name) for name, y in memory.items()}
    inputs = {"token_ids": token_ids, **recalled}
    states: dict[str, keras.KerasTensor] = {}
    join = lambda tensors, name: keras.layers.Concatenate(name=name)(tensors)
    embedded = x = embed(token_ids)  # [B, T, E]
    if not attention:
        seen = EveryStep(name="context_at_every_step")(recalled["context"], token_ids)  # [B, T, D]
        x = join([x, seen], "layer_0_input")
    for i in range(layers):
        if i and attention:
            x = join([x, seen], f"layer_{i}_input")
        layer = RecurrentLayer(cell, width, return_state=True, seed=next(seeds), name=f"layer_{i}_forward")
        x, before, behind = carry(layer, drop(x, f"layer_{i}_dropout"), f"layer_{i}")  # [B, T, D]
        inputs |= before
        states |= behind
        if not i and attention:
            attend = Attention(attention, name="attention")
            seen, alignments = attend(x, recalled["keys"], recalled["values"], recalled[MASK])
    x = keras.layers.Dense(embedding_width, "tanh", name="readout")(join([x, seen, embedded], "readout_input"))
    x = embed(drop(x, "readout_dropout"), reverse=True)  # [B, T, V]
    outputs = {"logits": Bias(name="output_bias")(x), "states": states}
    if attention:
        outputs["alignments"] = alignments
    return encoder, keras.Model(inputs, outputs, name="decoder")


WAYS = ("forward", "backward")


def joined(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    """Returns the model of both, which is trained: from the encoder's inputs and `target_token_ids` [B, T], what the decoder
    reads, to `logits` [B, T, V]."""
    source = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in encoder.input.items()}
    target = keras.Input([None], dtype="int32", name=f"{TARGET}token_ids")
    read = encoder(source)
    outputs = decoder({"token_ids": target, **read["memory"], **read["states"]})
    return keras.Model(source | {target.name: target}, outputs["logits"], name="seq2seq")


@register
class EveryStep(keras.layers.Layer):
    """Repeats a vector for each place of the sequences of its row, K of them: (x [B, D], token_ids [B*K, T]) -> [B*K, T, D]."""

    def call(self, x, token_ids):
        (number, length), rows, width = ops.shape(token_ids), ops.shape(x)[0], x.shape[-1]
        x = ops.broadcast_to(x[:, None], [rows, number * length // ops.maximum(rows, 1), width])
        return ops.reshape(x, [number, length, width])

    def compute_output_spec(self, x, token_ids):
        return keras.KerasTensor([*token_ids.shape, x.shape[-1]], dtype=x.dtype)
