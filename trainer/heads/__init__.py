"""How each kind of head works, a module each. What a head has:

ENCODER        what it asks of `models.bert.bert`
LAYERS         its own layers, which pretrained weights need not have
ARCHITECTURE   the class that transformers has for it
TARGETS        `tf.TensorSpec` of the targets of a batch
build(encoder, classes, dropout=, seed=)         the model, from the encoder's inputs to logits
examples(rows, task, labels, tokenizer, length, path)   (labels, those of the data if none are given; `features.Examples`)
loss(targets, logits)                            its sum over the batch, and over how many: divided once, by all of a step
functions(model, labels, tokenizer, length, fields)   what is exported, by signature: raw strings to decoded answers
Scorer(model, labels, tokenizer, length, rows, task, batch_size)   called, it says how good the model is then
"""

from trainer.heads import classify, tag

HEADS = {"classify": classify, "tag": tag}
