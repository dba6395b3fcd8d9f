"""KerasHub on TensorFlow: fine-tuning steps, and its encoder in a graph."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_hub
import tensorflow as tf

from trainer.weights import pretrained

NAMES = {"token_ids": "token_ids", "segment_ids": "segment_ids", "mask": "padding_mask"}


def tensors(inputs):
    """Returns the inputs of a backbone."""
    return {theirs: tf.cast(inputs[ours], tf.int32) for ours, theirs in NAMES.items()}


def backbone(folder):
    """Returns a backbone of the size that a folder of weights says; its weights are random."""
    config = pretrained.read_config(folder)[0]
    return keras_hub.models.BertBackbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
    )


def finetuning(folder, task, classes):
    """Returns batches -> what makes a step of each."""
    bert = backbone(folder)
    if task == "qa":
        x = keras.layers.Dense(2)(bert.output["sequence_output"])
        outputs = keras.layers.Permute([2, 1])(x)  # [B, 2, S]
    else:
        outputs = keras.layers.Dense(classes)(keras.layers.Dropout(0.1)(bert.output["pooled_output"]))
    model = keras.Model(bert.input, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0), loss=loss)

    def ready(batches):
        given = [(tensors(inputs), targets) for inputs, targets in batches]
        return lambda: [model.train_on_batch(inputs, targets) for inputs, targets in given]

    return ready


def encoder(folder):
    """Returns a function, inputs of `tensors` -> last states."""
    bert = backbone(folder)
    return tf.function(lambda inputs: bert(inputs, training=False)["sequence_output"], reduce_retracing=True)
