"""BERT: equal to the reference on real weights; packed equals padded; padding changes nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import heads
from models.bert import bert
from tests.conftest import GOLDEN, encoder_of, needs
from trainer.architectures.bert import Bert
from trainer.weights import hub

SIZE = {"layers": 2, "width": 32, "heads": 4, "feed_forward": 64, "positions": 64}


def batch(lengths, vocabulary_size=50, seed=0, padding=0):
    random = np.random.default_rng(seed)
    length = max(lengths) + padding
    mask = np.arange(length) < np.array(lengths)[:, None]
    return {
        "token_ids": np.where(mask, random.integers(1, vocabulary_size, mask.shape), 0).astype("int32"),
        "segment_ids": np.where(mask, random.integers(0, 2, mask.shape), 0).astype("int32"),
        "mask": mask,
    }


def twin(model, **arguments):
    """Returns a model of the same weights in another layout."""
    copy = bert(50, **SIZE, **arguments)
    copy.set_weights(model.get_weights())
    return copy


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@needs(GOLDEN)
def test_hidden_states_of_minilm(packed):
    golden = np.load(GOLDEN / "minilm-hidden-states.npz")
    model, unused = encoder_of(hub.folder_of("minilm"), packed=packed, attention_maps=True)
    assert unused == ["embeddings.position_ids"]
    mask = golden["attention_mask"].astype(bool)
    ids = {"token_ids": golden["input_ids"], "segment_ids": golden["token_type_ids"]}
    outputs = model({name: value.astype("int32") for name, value in ids.items()} | {"mask": mask})
    for states, expected in zip(outputs["hidden_states"], golden["hidden_states"], strict=True):
        np.testing.assert_allclose(states.numpy()[mask], expected[mask], atol=1e-4)
    np.testing.assert_allclose(outputs["pooled"], golden["pooler_output"], atol=1e-4)
    rows, queries = mask.nonzero()
    first = outputs["attention_maps"][0].numpy()
    np.testing.assert_allclose(first[rows, :, queries], golden["attention_layer0"][rows, :, queries], atol=1e-5)


def test_packed_equals_padded_in_outputs_and_gradients():
    inputs = batch([7, 1, 12, 3])
    padded = bert(50, **SIZE, dropout=0.0)
    results = []
    for model in (padded, twin(padded, packed=True, dropout=0.0)):
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            states_of_pieces = [tf.boolean_mask(states, inputs["mask"]) for states in outputs["hidden_states"]]
            loss = tf.reduce_sum(tf.sin(outputs["pooled"])) + sum(
                tf.reduce_mean(tf.sin(states)) for states in states_of_pieces
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        results.append(
            ([*states_of_pieces, outputs["pooled"]], [tf.convert_to_tensor(gradient) for gradient in gradients])
        )
    for expected_tensors, tensors in zip(*results, strict=True):
        for expected, tensor in zip(expected_tensors, tensors, strict=True):
            np.testing.assert_allclose(tensor, expected, atol=1e-5)


@pytest.mark.parametrize("head", [heads.classify, heads.tag, heads.span])
def test_joined_equals_padded(head):
    lengths, inputs = [7, 1, 12, 3], batch([7, 1, 12, 3])
    wants = {"pooled_only": head is heads.classify, "dropout": 0.0}
    padded, joined = (head(bert(50, **SIZE, **wants, joined=joined), 2, dropout=0, seed=0) for joined in (False, True))
    joined.set_weights(padded.get_weights())
    mask = inputs["mask"]
    row = {name: inputs[name][mask][None] for name in ("token_ids", "segment_ids")}
    row["sequences"], row["positions"] = (places[None].astype("int32") for places in mask.nonzero())
    row["firsts"] = (np.cumsum(lengths) - lengths).astype("int32")
    expected = padded(inputs).numpy()
    given = joined(row).numpy()
    if head is heads.classify:
        np.testing.assert_allclose(given, expected, atol=1e-5)
    else:
        np.testing.assert_allclose(given[0], expected[mask], atol=1e-5)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_padding_changes_nothing(packed):
    model = bert(50, **SIZE, packed=packed)
    tight, wide = batch([5, 5]), batch([5, 5])
    wide = {name: np.pad(value, [(0, 0), (0, 9)]) for name, value in wide.items()}
    wide["token_ids"][:, 5:] = 7  # whatever stands there
    tight, wide = model(tight), model(wide)
    np.testing.assert_allclose(wide["pooled"], tight["pooled"], atol=1e-5)
    np.testing.assert_allclose(wide["hidden_states"][-1][:, :5], tight["hidden_states"][-1], atol=1e-5)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_pooled_only_is_the_same_pooled_output(packed):
    whole = bert(50, **SIZE)
    short = twin(whole, packed=packed, pooled_only=True)
    inputs = batch([9, 2, 4])
    assert list(short(inputs)) == ["pooled"]
    np.testing.assert_allclose(short(inputs)["pooled"], whole(inputs)["pooled"], atol=1e-5)


def test_dropout_follows_its_seed():
    inputs = batch([6, 6])
    first, second, third = (bert(50, **SIZE, seed=seed) for seed in (1, 1, 2))
    for model in (second, third):
        for variable, value in zip(model.trainable_variables, first.trainable_variables, strict=True):
            variable.assign(value)
    pooled = [model(inputs, training=True)["pooled"].numpy() for model in (first, second, third)]
    np.testing.assert_array_equal(pooled[0], pooled[1])
    assert np.abs(pooled[0] - pooled[2]).max() > 1e-3
    assert np.abs(first(inputs, training=True)["pooled"].numpy() - pooled[0]).max() > 1e-3  # the next step


@pytest.mark.parametrize(
    "name, millions", [("tiny", 4.4), ("mini", 11.2), ("small", 28.8), ("minilm", 22.7), ("base", 109.5)]
)
def test_sizes(name, millions):
    """Parameters of Google's models with the English vocabulary of 30,522."""
    assert round(bert(30522, **Bert.sizes[name]).count_params() / 1e6, 1) == millions


def test_refusals():
    with pytest.raises(ValueError, match="heads must divide width, got width=30, heads=4"):
        bert(50, width=30, heads=4)
    with pytest.raises(ValueError, match="attention_maps"):
        bert(50, **SIZE, pooled_only=True, attention_maps=True)
    with pytest.raises(ValueError, match="attention_maps needs whole layers, got joined"):
        bert(50, **SIZE, joined=True, attention_maps=True)
    with pytest.raises(ValueError, match="expected packed or joined, got both"):
        bert(50, **SIZE, joined=True, packed=True)


def test_half_precision_masks_without_overflow():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        pooled = bert(50, **SIZE)(batch([5, 2]))["pooled"]
    finally:
        keras.config.set_dtype_policy(policy)
    assert np.isfinite(pooled).all()


def test_words_at_places_are_those_of_a_mask():
    encoder = bert(50, **SIZE)
    inputs = batch([9, 4, 7])
    masked = np.zeros(inputs["mask"].shape, bool)
    chosen = [[1, 3, 8], [2], [0, 6]]
    places = np.zeros((3, 4), "int32")  # as many a row; those behind the last mean nothing
    for row, of_row in enumerate(chosen):
        masked[row, of_row], places[row, : len(of_row)] = True, of_row
    by_mask, by_places = (heads.masked_words(encoder, next_sentence=True, places=places) for places in (False, True))
    for model in (by_mask, by_places):  # each has a head of its own
        for name in ("masked_dense", "next_sentence"):
            model.get_layer(name).set_weights(by_mask.get_layer(name).get_weights())
    expected, found = by_mask(inputs | {"masked": masked}), by_places(inputs | {"places": places})
    assert found["words"].shape == (3, 4, 50)
    words = np.concatenate([found["words"][row, : len(of_row)] for row, of_row in enumerate(chosen)])
    np.testing.assert_allclose(words, expected["words"], atol=1e-6)
    np.testing.assert_allclose(found["next"], expected["next"], atol=1e-6)
