"""The device: precision with scaled losses, threads that come too late."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import Mistake
from trainer.options import Device
from trainer.training import machine, optim
from trainer.training.step import training_step


def test_float16_scales_the_loss_and_leaves_steps_out():
    keras.utils.set_random_seed(0)
    with machine.computing_in("mixed_float16"):
        inputs = keras.Input([3])
        model = keras.Model(inputs, keras.layers.Dense(2, name="dense")(inputs))
    assert keras.config.dtype_policy().name == "float32"
    assert {variable.dtype for variable in model.variables} == {"float32"}
    optimizer = optim.optimizer(model.trainable_variables, 0.01, weight_decay=0.0, scales_loss=True)

    def loss(targets, logits):
        assert (model.compute_dtype, logits.dtype) == ("float16", tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

    step = training_step(model, loss, optimizer, [tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)])
    batch = np.eye(3, dtype="float32"), np.array([0, 1, 0], "int32")
    first = step([batch])["loss"]
    assert step([batch])["loss"] < first < 2  # of the loss itself, not times the factor
    before, made = model.get_weights(), int(optimizer.iterations)
    optimizer.dynamic_scale.assign(2.0**30)  # beyond float16
    step([batch])
    assert (float(optimizer.dynamic_scale), int(optimizer.iterations)) == (2.0**29, made)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


def test_threads_come_before_all():
    tf.constant(1)  # from here on TensorFlow has its threads
    with pytest.raises(Mistake, match=r"--threads.*before anything was computed"):
        machine.prepare(Device(threads=machine.threads() + 1))
    machine.prepare(Device())
    assert machine.device("float32").startswith(
        f"CPU, {machine.threads()} threads, float32; TensorFlow {tf.__version__}"
    )
