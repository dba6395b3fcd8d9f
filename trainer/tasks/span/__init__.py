"""The part of a context that answers a question: SQuAD's task, with contexts of any length.

The model reads [CLS] question [SEP] window of the context [SEP] and scores every piece as the first and as the last one of
the answer. A window that holds no answer points at [CLS], whose scores are those of "no answer". Of long contexts all windows
are read, and the best answer over all of them is taken.

Reference: Devlin et al. 2019, sections 4.2 and 4.3, and `run_squad.py` of google-research/bert. Otherwise than there, the
question's places get no probability, in training neither; an answer begins where a word begins and ends where one ends, in the
context as it was given; all spans are looked at, not those of the 20 best ends alone; spans of several windows are compared by
what each has above "no answer" in its own window; and the last window reaches back instead of being short.
"""

import tensorflow as tf

from models import heads
from trainer.tasks.kind import Kind, Transformers
from trainer.tasks.span.answer import functions, parts
from trainer.tasks.span.examples import examples
from trainer.tasks.span.score import Scorer


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`; targets [B, 2], logits [B, S, 2]."""
    of_ends = tf.transpose(logits, [0, 2, 1])  # [B, 2, S]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, of_ends)  # [B, 2]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


KIND = Kind(
    needs=("hidden_states", "pairs"),
    wants={},
    layers=("qa_outputs",),
    targets=tf.TensorSpec(
        [None, 2], tf.int32
    ),  # places of the first and of the last piece of the answer; 0, 0: none here
    build=heads.span,
    examples=examples,
    loss=loss,
    functions=functions,
    parts=parts,
    scorer=Scorer,
    transformers=Transformers(
        "ForQuestionAnswering",
        "question-answering",
        """\
import torch
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("What is asked?", "Where the answer stands.", return_tensors="pt", truncation="only_second")
output = model(**inputs)
question = torch.tensor([of == 0 for of in inputs.sequence_ids(0)])  # an answer stands in the context
start, end = (int(logits[0].masked_fill(question, -1e9).argmax()) for logits in (output.start_logits, output.end_logits))
print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))""",
    ),
)
