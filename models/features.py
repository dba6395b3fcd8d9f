"""Features: what the layers of a pretrained encoder give of a text, for a task to read, by itself or through another model.

References: Peters et al. 2018 (arXiv 1802.05365), section 3.3, where a recurrent network reads ELMo's layers beside embeddings of
its own; Devlin et al. 2018, section 5.3, where one reads BERT's.

Glossary of shapes: B batch, S sequence length, F width of the encoder's layers, D width.
"""

import keras

from models.layers import Pooling, ScalarMix

MIX, LAST = "mix", "last"
TOP = "top"  # the name of the model that reads the features; its variables are to be made in a scope of this name


def features(
    encoder: keras.Model,
    top: keras.Model | None = None,
    *,
    layers: str | int = MIX,
    pooled_only: bool = False,
    name: str = "features",
) -> keras.Model:
    """Returns a model of an encoder and of what reads its layers.

    Args:
        encoder: To `hidden_states`, a list of [B, S, F], the embeddings first.
        top: From `features` [B, S, F], `mask`, and inputs that the encoder has too, to a dict of `pooled` and `hidden_states`; None:
            the features are the answer.
        layers: What is read: `mix`, all of them, as `models.layers.ScalarMix` weighs them; `last`; or one by its number, 0 the
            embeddings. Those above are left out of the model.
        pooled_only: Return `pooled` alone.

    Returns:
        A `keras.Model` from the encoder's inputs to what `top` gives, the features before its `hidden_states`; or without `top` to a
        dict of `pooled` [B, F], the mean of the features of real tokens, and `hidden_states`, a list of the features.

    Raises:
        ValueError: There is no such layer; layers to be mixed are not of one width.
    """
    read = _read(encoder, layers)
    x = ScalarMix(name="mix")(read) if layers == MIX else read[0]  # [B, S, F]
    if top is None:
        pooled = Pooling("mean", name="features_pooling")(x, encoder.input["mask"])
        given = {"pooled": pooled, "hidden_states": [x]}
    else:
        lacking = [name for name in top.input if name not in ("features", *encoder.input)]
        if lacking:
            raise ValueError(f"expected a model that reads features, received one that also reads {', '.join(lacking)}")
        given = dict(top({name: x if name == "features" else encoder.input[name] for name in top.input}))
        given["hidden_states"] = [x, *given.get("hidden_states", [])]
    outputs = {"pooled": given["pooled"]} if pooled_only else given
    return keras.Model(encoder.input, outputs, name=name)


def width_of(encoder: keras.Model, layers: str | int) -> int:
    """Returns F; args and errors as `features`."""
    return _read(encoder, layers)[0].shape[-1]


def _read(encoder, layers):
    """Returns the hidden states that are read, each [B, S, F]; args and errors as `features`."""
    states = encoder.output["hidden_states"]
    if layers == MIX:
        widths = [x.shape[-1] for x in states]
        if len({*widths}) > 1:
            raise ValueError(f"mix: expected layers of one width, found {', '.join(map(str, widths))}; choose one")
        return states
    if layers == LAST:
        return states[-1:]
    if not 0 <= int(layers) < len(states):
        raise ValueError(
            f"expected mix, last, or a number from 0, the embeddings, to {len(states) - 1}, received {layers}"
        )
    return [states[int(layers)]]
