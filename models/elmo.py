"""ELMo: language models of both directions, whose layers together stand for a word where it is (Peters et al. 2018).

Glossary of shapes: B batch, S sequence length, L letters of a word, F filters, P width of a direction, D width of a cell, V
vocabulary.
"""

from typing import Any

import keras
from keras import ops

from models.inputs import LETTERS, embedding_of_units, unit_inputs
from models.layers import Pooling, Reverse, register
from models.recurrent import RecurrentLayer, carry

BACKWARD = "backward_"  # before the names of what the backward direction reads, where both read apart
LETTER_WIDTH = 16  # of a letter's embedding
FILTERS = {
    1: 32,
    2: 32,
    3: 64,
    4: 128,
    5: 256,
}  # width of a convolution over letters -> how many; the paper goes to 7, with 2,048
HIGHWAYS = 2


def elmo(
    vocabulary_size: int,
    *,
    layers: int = 2,
    width: int = 512,
    cell_width: int = 4096,
    letters: int = 0,
    dropout: float = 0.1,
    pooled_only: bool = False,
    states: bool = False,
    seed: int = 0,
    name: str = "elmo",
) -> keras.Model:
    """Builds the two directions: LSTMs with projection, one upon the other, with a residual connection between them.

    Reference: Peters et al. 2018 (arXiv 1802.05365). Their code also clips cells and projections at 3. Both directions share what
    a unit is read by.

    Args:
        vocabulary_size: V.
        layers: Of each direction.
        width: P.
        cell_width: D.
        letters: L, of words that are read by their letters, see `CharacterEncoder`; 0: each unit has a row [P].
        dropout: On the input of each layer; variational.
        pooled_only: Return `pooled` alone.
        states: Both directions read apart, and carry their states on: so they are trained.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from `models.inputs.unit_inputs` to a dict of
        `hidden_states`: list of layers + 1 tensors [B, S, 2*P], what units are read by, twice, first; where the mask is false the
        values mean nothing,
        `pooled`: [B, 2*P], the mean of the last ones.
        With `states`, from `token_ids` (and `letters`) of both directions, those of the backward one in its own order, with
        `BACKWARD` before their names, and `layer_I_DIRECTION_state_J` [B, D], to `last_states`, a list of [B, S, P], forward and
        backward, and `states`, a dict of the same names.
    """
    seeds = iter(range(1000 * seed, 1000 * seed + 4 * layers))
    if letters:
        encoder = CharacterEncoder(width, name="characters_of_words")
    else:
        encoder = embedding_of_units(vocabulary_size, width)
    inputs = unit_inputs(letters)
    mask = inputs.pop("mask")
    carried: dict[str, keras.KerasTensor] = {}

    def read(inputs):
        return encoder(inputs["letters" if letters else "token_ids"])  # [B, S, P]

    def stack(x, direction):
        """Returns what each layer of a direction gives, [B, S, P]."""
        given = []
        for i in range(layers):
            name = f"layer_{i}_{direction}"
            layer = RecurrentLayer(
                "lstm", cell_width, projection=width, return_state=states, seed=next(seeds), name=name
            )
            y = keras.layers.SpatialDropout1D(dropout, seed=next(seeds), name=f"{name}_dropout")(x)
            if states:
                y, before, behind = carry(layer, y, name)
                inputs.update(before)
                carried.update(behind)
            else:
                y = layer(y)
            x = keras.layers.Add(name=f"{name}_residual")([x, y]) if i else y
            given.append(x)
        return given

    if states:
        turned = {
            BACKWARD + name: keras.Input(x.shape[1:], dtype="int32", name=BACKWARD + name) for name, x in inputs.items()
        }
        x, y = read(inputs), read({name.removeprefix(BACKWARD): tensor for name, tensor in turned.items()})
        last = [stack(x, "forward")[-1], stack(y, "backward")[-1]]
        return keras.Model(inputs | turned, {"last_states": last, "states": carried}, name=name)
    x = read(inputs)
    forward = stack(x, "forward")
    backward = [
        Reverse(name=f"layer_{i}_reverse_back")(y, mask)
        for i, y in enumerate(stack(Reverse(name="reverse")(x, mask), "backward"))
    ]
    both = zip([x, *forward], [x, *backward], strict=True)
    hidden_states = [keras.layers.Concatenate(name=f"hidden_state_{i}")(pair) for i, pair in enumerate(both)]
    outputs = {"pooled": Pooling("mean", name="pooling")(hidden_states[-1], mask)}  # [B, 2*P]
    if not pooled_only:
        outputs["hidden_states"] = hidden_states
    return keras.Model(inputs | {"mask": mask}, outputs, name=name)


@register
class CharacterEncoder(keras.layers.Layer):
    """Composes words of their letters, [B, S, L] -> [B, S, P]: convolutions of several widths, the maximum of each over all places,
    highway layers (Srivastava et al. 2015, arXiv 1505.00387), and a projection; as Kim et al. 2016 (arXiv 1508.06615).

    Args:
        width: P.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, filters = width, sum(FILTERS.values())
        dense = keras.layers.Dense
        self.embedding = keras.layers.Embedding(LETTERS, LETTER_WIDTH, name="embedding")
        self.convolutions = [
            keras.layers.Conv1D(number, size, padding="same", activation="relu", name=f"convolution_{size}")
            for size, number in FILTERS.items()
        ]
        closed = keras.initializers.Constant(-2.0)  # at first nearly all of x is carried
        self.gates = [dense(filters, "sigmoid", bias_initializer=closed, name=f"gate_{i}") for i in range(HIGHWAYS)]
        self.transforms = [dense(filters, "relu", name=f"transform_{i}") for i in range(HIGHWAYS)]
        self.projection = dense(width, name="projection")

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.embedding.build([None, shape[-1]])
        for layer in self.convolutions:
            layer.build([None, shape[-1], LETTER_WIDTH])
        for layer in (*self.gates, *self.transforms, self.projection):
            layer.build([None, sum(FILTERS.values())])

    def call(self, letters):
        batch, length, count = ops.shape(letters)
        x = self.embedding(ops.reshape(letters, [batch * length, count]))  # [B*S, L, E]
        x = ops.concatenate([ops.max(layer(x), axis=1) for layer in self.convolutions], axis=-1)  # [B*S, F]
        for gate, transform in zip(self.gates, self.transforms, strict=True):
            opened = gate(x)
            x = opened * transform(x) + (1 - opened) * x
        return ops.reshape(self.projection(x), [batch, length, self.width])

    def get_config(self):
        return super().get_config() | {"width": self.width}

    def compute_output_spec(self, letters):
        return keras.KerasTensor([*letters.shape[:2], self.width], dtype=self.compute_dtype)
