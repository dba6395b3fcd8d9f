"""Words with their tags: of a raw text, whose words are found as well, or of words that are given.

The label of a token says which words begin in it (`trainer.tasks.tag.segmentation`) and is read at the token's first piece; of
a given word, at the word's first piece, where only the plain tags are in question. What is too long for the model is read in
overlapping windows (`trainer.text.windows`), so nothing is cut.
"""

import tensorflow as tf

from models import heads
from trainer.tasks.kind import Kind, Transformers
from trainer.tasks.tag.answer import functions
from trainer.tasks.tag.examples import examples
from trainer.tasks.tag.score import Scorer


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`; targets [B, S], logits [B, S, C]."""
    asked = targets >= 0  # [B, S]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.boolean_mask(targets, asked), tf.boolean_mask(logits, asked)
    )
    return tf.reduce_sum(losses), tf.cast(tf.maximum(tf.size(losses), 1), tf.float32)  # 1: a batch that asks nothing


KIND = Kind(
    needs=("hidden_states",),
    wants={},
    layers=("classifier",),
    targets=tf.TensorSpec([None, None], tf.int32),
    build=heads.tag,
    examples=examples,
    loss=loss,
    functions=functions,
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
