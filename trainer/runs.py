"""The run folder: what a finished run leaves, and the model that it holds.

config.json        Hugging Face's BERT configuration, and under "lineage" the task and every option of the run
vocab.txt  tokenizer_config.json  labels.txt
model.safetensors  the weights after the last epoch, by Hugging Face's names
metrics.json       the result; written last, so its presence says that the run is finished
metrics.jsonl      one line a logged step        tensorboard/   the same as curves
"""

import json
import os
import shutil
from pathlib import Path

import tensorflow as tf

from models import weights
from models.bert import bert
from trainer import Mistake, features
from trainer.heads import HEADS
from trainer.progress import say
from trainer.tasks import TASKS
from trainer.text import Tokenizer, read_vocabulary

ARCHITECTURES = {"classify": "BertForSequenceClassification"}  # head -> class in transformers


def write(path, content):
    """Writes a file whole or not at all: to a temporary name, flushed to disk, then renamed."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_json(path, value):
    write(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_init(folder):
    """Reads the configuration and the tokenizer of pretrained weights.

    Returns:
        (config, Tokenizer) of a Hugging Face folder; `config` is the parsed `config.json`.

    Raises:
        Mistake: Something is missing, or is not what this project supports.
    """
    folder = Path(folder)
    settings_path = folder / "tokenizer_config.json"
    try:
        config = weights.read_config(folder)
        vocabulary = read_vocabulary(folder / "vocab.txt")
        settings = weights.read_json(settings_path) if settings_path.is_file() else {}
    except (OSError, ValueError) as error:
        raise Mistake(f"{error}") from None
    lower_case = settings.get("do_lower_case", True)
    for key, supported in (("strip_accents", (None, lower_case)), ("tokenize_chinese_chars", (True,))):
        if settings.get(key, supported[0]) not in supported:
            raise Mistake(
                f"{settings_path}: {key} is {settings[key]}, expected {supported[0]} with do_lower_case {lower_case}"
            )
    if len(vocabulary) > config["vocab_size"]:
        raise Mistake(
            f"{folder / 'vocab.txt'}: has {len(vocabulary)} pieces, but config.json says vocab_size {config['vocab_size']}"
        )
    return config, Tokenizer(vocabulary, lower_case=lower_case)


def build_model(config, task, labels, *, seed=0):
    """Returns the task's model, untrained: an encoder as `config` says, and the task's head."""
    head = HEADS[task.head]
    encoder = bert(
        config["vocab_size"], packed=True, seed=seed, **head.encoder_arguments, **weights.builder_arguments(config)
    )
    dropout = config.get("classifier_dropout")
    dropout = config["hidden_dropout_prob"] if dropout is None else dropout
    return head.build(encoder, len(labels), dropout=dropout, seed=seed)


def load_weights(model, path, *, ignore=()):
    """As `models.weights.load`; a file that does not fit is the user's mistake."""
    try:
        return weights.load(model, path, ignore=ignore)
    except (OSError, ValueError) as error:
        raise Mistake(f"{error}") from None


def finished(out, options, inputs, *, overwrite):
    """Looks at what `out` holds, and touches nothing.

    Args:
        out: Run folder to be.
        options: Of the run.
        inputs: Paths that the run reads.
        overwrite: Whatever run `out` holds may go.

    Returns:
        The result of the finished run with the same options that `out` holds, else None: train.

    Raises:
        Mistake: `out` holds a finished run with other options (names the first that differs), or something that is no run,
            or one of the inputs.
    """
    for path in inputs:
        if out.resolve() in (path.resolve(), *path.resolve().parents):
            raise Mistake(f"{out} holds {path}, which this run reads; give another --out")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        before = json.loads((out / "config.json").read_text(encoding="utf-8"))["lineage"]["options"]
    except (OSError, ValueError, KeyError, TypeError):
        raise Mistake(f"{out} exists and is no run folder; give another --out") from None
    if overwrite:
        return None
    if not (out / "metrics.json").is_file():
        say(f"{out} holds a run that did not finish; starting anew in its place")
        return None
    for name, value in options.items():
        if before.get(name) != value:
            raise Mistake(
                f"{out} holds a run with --{name} {before.get(name)}, not {value}; "
                "give another --out, or --overwrite to start anew"
            )
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def start(out, config, tokenizer):
    """Makes the run folder, in place of what `finished` let pass.

    Raises:
        Mistake: `out` cannot be made.
    """
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
    except OSError as error:
        raise Mistake(f"{out}: cannot be made ({error.strerror}); give another --out") from None
    write(out / "vocab.txt", "\n".join(tokenizer.vocabulary) + "\n")
    write(out / "labels.txt", "\n".join(config["id2label"].values()) + "\n")
    write_json(
        out / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": tokenizer.lower_case}
    )
    write_json(out / "config.json", config)


def config_of_run(init_config, task_name, labels, options, max_length):
    """Returns the run's `config.json`: that of its initial weights, its head, and how to rebuild and repeat it."""
    return init_config | {
        "architectures": [ARCHITECTURES[TASKS[task_name].head]],
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "lineage": {"task": task_name, "max_length": max_length, "options": options},
    }


class Run:
    """A trained model from its folder: `answer` maps raw strings to decoded answers, here and in the exported graph.

    Args:
        folder: A finished run.

    Raises:
        Mistake: Not a finished run.
    """

    def __init__(self, folder):
        folder = Path(folder)
        if not (folder / "metrics.json").is_file():
            state = "an unfinished run" if (folder / "config.json").is_file() else "no run"
            raise Mistake(f"{folder}: expected a finished run (written by `python -m trainer finetune`), found {state}")
        self.config, self.tokenizer = read_init(folder)
        self.task_name = self.config["lineage"]["task"]
        self.task = TASKS[self.task_name]
        self.head = HEADS[self.task.head]
        self.labels = list(self.config["id2label"].values())
        self.max_length = self.config["lineage"]["max_length"]
        self.model = build_model(self.config, self.task, self.labels)
        load_weights(self.model, folder / "model.safetensors")

    def answer(self, strings):
        """Maps strings [B] to the task's outputs: text -> pieces -> features -> logits -> answers."""
        strings = tf.ensure_shape(strings, [None])  # a session does not look at shapes
        inputs = features.pack(self.tokenizer(strings).ids, self.tokenizer, self.max_length)
        return self.head.decode(self.model(inputs, training=False), self.labels)

    def answer_function(self):
        """Returns `answer` as a graph function of a string tensor [None]."""
        signature = [tf.TensorSpec([None], tf.string, name=self.task.fields[0])]
        return tf.function(self.answer, input_signature=signature, autograph=False)
