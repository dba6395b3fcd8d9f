"""How each kind of head works, a module each. What a head has:

ENCODER        what it asks of `models.bert.bert`
LAYERS         its own layers, which pretrained weights need not have
ARCHITECTURE   the class that transformers has for it
TARGETS        `tf.TensorSpec` of the targets of a batch
build(encoder, classes, dropout=, seed=)         the model, from the encoder's inputs to logits
examples(rows, task, reading, path)              (`features.Reading` with what the data says, `features.Examples`)
loss(targets, logits)                            its sum over the batch, and over how many: divided once, by all of a step
functions(model, reading)                        what is exported, by signature: raw strings to decoded answers
Scorer(model, reading, rows, task, batch_size)   called, it says how good the model is then
"""

from trainer.heads import classify, span, tag

HEADS = {"classify": classify, "tag": tag, "span": span}
