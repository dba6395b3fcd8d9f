"""Units whose weights int8 cannot hold beside the others: found, computed apart with the same answers, and closer in int8."""

import keras
import numpy as np
import pytest

from models.bert import bert
from serving import litert, outliers
from serving.server.models.encoder import Encoder

WIDTH, UNITS = 32, 128
SEQUENCES = {"token_ids": np.arange(12, dtype=np.int32)[None], "segment_ids": np.zeros([1, 12], np.int32)}
LENGTHS = np.array([12])


@pytest.fixture(scope="module", params=["pooled", "states"])
def model(request):
    """An encoder of sequences in a row; in its first layer one unit has weights like those of pretrained ones."""
    keras.utils.set_random_seed(1)
    size = {"layers": 2, "width": WIDTH, "heads": 2, "feed_forward": UNITS}
    encoder = bert(20, **size, joined=True, pooled_only=request.param == "pooled")
    inner, output = (encoder.get_layer(f"layer_0_feed_forward_{name}") for name in ("inner", "output"))
    kernel, bias = inner.get_weights()
    bias[7] = -3  # it speaks up rarely
    inner.set_weights([10 * kernel, bias])
    kernel, bias = output.get_weights()
    kernel[7] *= 50
    output.set_weights([10 * kernel, bias])
    output = encoder.output["pooled"] if request.param == "pooled" else encoder.output["hidden_states"][-1]
    return keras.Model(encoder.input, output)


def computed(model, precision):
    return Encoder(litert.converted(model, precision), 1)(SEQUENCES, LENGTHS)


def test_answers_stay_and_so_does_the_model(model):
    weights = model.get_weights()
    separated = outliers.apart(model)
    names = [layer.name for layer in separated.layers if layer.name.endswith("_apart")]
    assert names == ["layer_0_feed_forward_inner_apart", "layer_0_feed_forward_output_apart"]
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(computed(separated, "fp32"), computed(model, "fp32"), atol=1e-6)


def test_int8_is_closer(model, monkeypatch):
    exact = computed(model, "fp32")
    apart = np.abs(computed(model, "int8") - exact).max()
    monkeypatch.setattr(outliers, "apart", lambda model: model)
    together = np.abs(computed(model, "int8") - exact).max()
    assert apart < together / 3, (apart, together)


def test_which_units_are_outliers():
    kernel = np.random.default_rng(0).normal(0, 0.02, [UNITS, WIDTH])
    assert not len(outliers.outliers(kernel))
    kernel[[3, 5, 90]] *= [[20], [60], [40]]
    assert outliers.outliers(kernel).tolist() == [5, 90, 3]  # the largest first
    wide = np.tile(kernel, 16)  # of 512 columns, of which one row stays in float32
    assert outliers.outliers(wide).tolist() == [5]
    assert not len(outliers.outliers(np.tile(kernel, 32)))  # of 1,024
