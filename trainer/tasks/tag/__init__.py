"""Words with their tags: of a raw text, whose words are found as well, or of words that are given.

The label of a token says which words begin in it (`trainer.tasks.tag.segmentation`) and is read at the token's first piece. The
tokens of given words are labelled alike; where words begin is known there, and only their tags are in question. What is too
long for the model is read in overlapping windows (`trainer.text.windows`), so nothing is cut.
"""

from dataclasses import replace

import tensorflow as tf

from models import crf, heads
from trainer.tasks.kind import Kind, Transformers
from trainer.tasks.tag.answer import functions, parts
from trainer.tasks.tag.examples import examples
from trainer.tasks.tag.score import Scorer


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`; targets [B, S], logits [B, S, C]."""
    asked = targets >= 0  # [B, S]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.boolean_mask(targets, asked), tf.boolean_mask(logits, asked)
    )
    return tf.reduce_sum(losses), tf.cast(tf.maximum(tf.size(losses), 1), tf.float32)  # 1: a batch that asks nothing


def crf_loss(targets: tf.Tensor, outputs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`: of each row, the negative log-probability of the labels that are asked, one behind the
    other; targets [B, S], of outputs the logits [B, S, C].

    It is divided by the number of labels, so that it compares with `loss`. Each window of a long row is a row here.
    """
    asked = targets >= 0  # [B, S]
    lengths = tf.math.count_nonzero(asked, axis=1, dtype=tf.int32)  # [B]
    longest = tf.maximum(tf.reduce_max(lengths), 1)  # U; 1: a batch that asks nothing
    shape = lambda x: tf.stack([-1, longest, *x.shape[2:]])
    dense = lambda x: tf.ragged.boolean_mask(x, asked).to_tensor(shape=shape(x))  # [B, U, ...]
    weights = [outputs[name] for name in ("transitions", "starts", "ends")]
    likelihood = crf.log_likelihood(dense(outputs["logits"]), dense(targets), lengths, *weights)  # [B]
    return -tf.reduce_sum(likelihood), tf.cast(tf.maximum(tf.reduce_sum(lengths), 1), tf.float32)


SOFTMAX = Kind(
    needs=("hidden_states",),
    wants={},
    layers=("classifier",),
    targets=tf.TensorSpec([None, None], tf.int32),
    build=heads.tag,
    examples=examples,
    loss=loss,
    functions=functions,
    parts=parts,
    scorer=Scorer,
    transformers=Transformers(
        "ForTokenClassification",
        "token-classification",
        """\
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("a text", return_tensors="pt", truncation=True)
for piece, label in zip(inputs.tokens(), model(**inputs).logits[0].argmax(-1)):
    print(piece, model.config.id2label[int(label)])""",
    ),
)
# Scores of neighbours begin at 0 and end some units from there: at the rate of pretrained weights, 1e-4 a step and less, a
# fine-tuning would end before they did.
CRF = replace(
    SOFTMAX,
    layers=("classifier", "crf"),
    build=heads.tag_crf,
    loss=crf_loss,
    parts=None,
    transformers=None,
    rates={"crf": 30},
)
KIND = replace(SOFTMAX, decoders={"crf": CRF})
