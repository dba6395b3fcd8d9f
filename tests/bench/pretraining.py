"""A step of BERT's pretraining, ours beside transformers on PyTorch: the same weights, the same batches.

    python -m tests.bench.pretraining [--model mini] [--batches 2] [--rounds 2]      (in the environment of requirements-peers.txt)

First the loss and all gradients of one batch without dropout, which should be equal; then the time of a step (forward, backward,
clipping, AdamW) with dropout, in turn, the best of several rounds, two threads. Text: Wikipedia's paragraphs of SQuAD
($LINEAGE_DATA/text-en), BERT's vocabulary, 32 sequences of 128 pieces, both objectives, whole words. transformers computes the
logits of all places; it is given labels of -100 where nothing is predicted, as its documentation has it. Prints its table last.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

from pathlib import Path

import numpy as np
import tensorflow as tf
import torch
from safetensors.torch import load as load_torch
from transformers import BertConfig, BertForPreTraining

from models import heads
from tests.bench.contenders.pytorch import torch_step
from tests.bench.turns import best_of
from trainer.corpora import making
from trainer.data.plain_text import PlainText
from trainer.pretraining import masked
from trainer.pretraining.masking import Masking
from trainer.pretraining.source import SIGNATURE, TARGETS, Source
from trainer.runs.blueprint import Blueprint
from trainer.text.vocabulary import MASK, read_vocabulary
from trainer.training import batches, optim
from trainer.training.step import training_step

THREADS, BATCH, LENGTH, RATE = 2, 32, 128, 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="size")
    parser.add_argument("--batches", type=int, default=2, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    data = Path(os.environ["LINEAGE_DATA"])
    vocabulary = read_vocabulary(data / "vocab" / "bert-base-uncased" / "vocab.txt")
    blueprint = Blueprint.new(options.model, vocabulary)
    corpus = making.corpus(PlainText([str(data / "text-en" / "wikipedia_squad_train.txt.xz")]), blueprint.tokenizer)
    passages = Source(
        corpus,
        vocabulary,
        Masking(vocabulary.index(MASK), len(vocabulary)),
        max_length=LENGTH,
        pairs=True,
        whole_words=True,
        short=0.1,
        documents=np.arange(corpus.documents),
        seed=0,
    )
    plan = passages.plan(BATCH, seed=0, epoch=0)[: options.batches]
    data_set = list(batches.dataset(passages, plan))
    tokens = sum(int(np.sum(inputs["mask"])) for inputs, _ in data_set)

    model = model_of(blueprint, dropout=0.0)
    weights = load_torch(blueprint.architecture.to_bytes(model))
    peer = peer_of(blueprint, weights, dropout=0.0)
    differences = compare(blueprint, model, peer, *data_set[0])

    trained = peer_of(blueprint, weights, dropout=0.1)
    contenders = {
        "ours": ours(model_of(blueprint, dropout=0.1)),
        "transformers": torch_step(trained, lambda batch: trained(**tensors(batch)).loss, RATE),
    }
    best = best_of(contenders, data_set, options.rounds)
    print(
        f"\nBERT {options.model}, {model.count_params():,} parameters, {BATCH} sequences of {LENGTH} pieces at most, {THREADS} threads"
    )
    for name, difference in differences.items():
        print(f"{name:<46}{difference:10.1e}")
    print(f"{'':<16}{'ms a step':>12}{'tokens/s':>12}{'beside transformers':>22}")
    for name, seconds in best.items():
        ratio = best["transformers"] / seconds
        print(f"{name:<16}{1000 * seconds / len(plan):12.1f}{tokens / seconds:12.0f}{ratio:22.2f}")


def model_of(blueprint, dropout):
    blueprint = blueprint.with_dropout(dropout)
    tf.keras.utils.set_random_seed(0)
    return heads.masked_words(blueprint.architecture.build(blueprint.config, {}, seed=0), next_sentence=True)


def peer_of(blueprint, weights, dropout):
    settings = blueprint.with_dropout(dropout).architecture.to_settings(blueprint.with_dropout(dropout).config)
    peer = BertForPreTraining(BertConfig(**{k: v for k, v in settings.items() if k != "model_type"}))
    missing, unexpected = peer.load_state_dict(weights, strict=False)
    assert not unexpected and all("decoder" in name or "position_ids" in name for name in missing), (
        missing,
        unexpected,
    )
    peer.tie_weights()
    return peer.train()


def tensors(batch):
    inputs, targets = batch
    of = lambda x: torch.from_numpy(np.asarray(x).astype(np.int64))
    words = of(targets["words"])
    return {
        "input_ids": of(inputs["token_ids"]),
        "token_type_ids": of(inputs["segment_ids"]),
        "attention_mask": of(inputs["mask"]),
        "labels": torch.where(words < 0, -100, words),
        "next_sentence_label": of(targets["next"]),
    }


def compare(blueprint, model, peer, inputs, targets):
    """Returns what differs between the two: the loss, and the largest difference of a gradient beside its own largest value."""
    with tf.GradientTape() as tape:
        totals, numbers = masked.loss(targets, model(inputs, training=True))
        loss = tf.reduce_sum(totals / numbers)
    gradients = tape.gradient(loss, model.trainable_variables)
    loss_of_peer = peer(**tensors((inputs, targets))).loss
    loss_of_peer.backward()
    theirs = {name: parameter.grad.numpy() for name, parameter in peer.named_parameters()}
    worst = 0.0
    table = blueprint.architecture.table(model)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        stored = table[variable.path]
        parts = [theirs[name].T if stored.transposed else theirs[name] for name in stored.names]
        expected = np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        difference = np.abs(tf.convert_to_tensor(gradient).numpy() - expected).max()
        worst = max(worst, float(difference))
    return {
        f"loss {float(loss):.6f}, difference": abs(float(loss) - float(loss_of_peer.detach())),
        "largest difference of any gradient": worst,
    }


def ours(model):
    variables = model.trainable_variables
    step = training_step(model, masked.loss, optim.optimizer(variables, RATE, weight_decay=0.01), [SIGNATURE, TARGETS])
    return lambda batch: step([batch])


if __name__ == "__main__":
    main()
