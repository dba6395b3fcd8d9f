"""The run folder: what a finished run leaves, and the model that it holds.

config.json        Hugging Face's BERT configuration, and under "lineage" the task and every option of the run
vocab.txt  tokenizer_config.json  labels.txt
model.safetensors  the weights that are kept, by Hugging Face's names
metrics.json       the result; written last, so its presence says that the run is finished
metrics.jsonl      one line a logged step        tensorboard/   the same as curves
checkpoint/        where an unfinished run stands, see `trainer.checkpoint`
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models import files, pretrained, weights
from models.bert import PRESETS, bert
from trainer import Mistake, checkpoint, described, features
from trainer.heads import HEADS
from trainer.progress import say
from trainer.tasks import TASKS
from trainer.text import Tokenizer, read_vocabulary

# What `config.json` holds of a run's `features.Reading`, beside its labels
READING = ("fields", "max_length", "doc_stride", "max_answer_length", "null_threshold")

# What training writes, in the order of its deletion: first what says how far the run is.
TRAINED = ("metrics.json", "checkpoint", "metrics.jsonl", "tensorboard", "model.safetensors")


def read_init(folder):
    """Reads the configuration and the tokenizer of pretrained weights.

    Returns:
        (config, Tokenizer) of a folder of either form; `config` has the keys of Hugging Face's `config.json`.

    Raises:
        Mistake: Something is missing, or is not what this project supports.
    """
    folder = Path(folder)
    try:
        config = pretrained.read_config(folder)
        content, lower_case = pretrained.read_tokenizer(folder)
        vocabulary = read_vocabulary(folder / "vocab.txt", content)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    if len(vocabulary) > config["vocab_size"]:
        raise Mistake(
            f"{folder / 'vocab.txt'}: has {len(vocabulary)} pieces, but its configuration says vocab_size {config['vocab_size']}"
        )
    return config, Tokenizer(vocabulary, lower_case=lower_case)


def new_config(preset, vocabulary_path):
    """Returns what `read_init` does, for weights that are yet to be learned: a size of `models.bert.PRESETS`, a vocabulary.

    Raises:
        Mistake: No such size; the vocabulary cannot be read.
    """
    if preset not in PRESETS:
        raise Mistake(f"--model: expected one of {', '.join(PRESETS)}, received {preset}")
    try:
        vocabulary = read_vocabulary(vocabulary_path)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    size = PRESETS[preset]
    config = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "num_hidden_layers": size["layers"],
        "hidden_size": size["width"],
        "num_attention_heads": size["heads"],
        "intermediate_size": 4 * size["width"],
        **pretrained.DEFAULTS,
    }
    return config, Tokenizer(vocabulary, lower_case=pretrained.is_lower_case(vocabulary))


def read_labels(folder, config):
    """Returns a run's labels in the order of their numbers.

    Raises:
        Mistake: `labels.txt` and `config.json` do not say the same: answers would bear wrong names.
    """
    path = folder / "labels.txt"
    if not isinstance(config.get("id2label"), dict) or not all(key.isdecimal() for key in config["id2label"]):
        raise Mistake(f"{folder / 'config.json'}: expected id2label, the labels by their numbers, found none")
    labels = [config["id2label"][number] for number in sorted(config["id2label"], key=int)]
    try:
        found = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    if found != labels:
        raise Mistake(f"{path}: expected {', '.join(labels)}, as in config.json, found {', '.join(found) or 'nothing'}")
    return labels


def build_model(config, task, labels, *, seed=0):
    """Returns the task's model, untrained: an encoder as `config` says, and the task's head."""
    head = HEADS[task.head]
    encoder = bert(config["vocab_size"], packed=True, seed=seed, **head.ENCODER, **weights.builder_arguments(config))
    dropout = config.get("classifier_dropout")
    dropout = config["hidden_dropout_prob"] if dropout is None else dropout
    return head.build(encoder, len(labels), dropout=dropout, seed=seed)


def load_weights(model, folder, *, ignore=()):
    """As `models.weights.load`; a file that does not fit is the user's mistake."""
    try:
        return weights.load(model, folder, ignore=ignore)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None


class Folder:
    """A run folder to be, or to go on with.

    Args:
        out: Its path.
        options: Of the run, those that change its result.
        inputs: {name of the option: path} of the files and folders that the run reads.
        overwrite: Whatever run `out` holds may go.

    Raises:
        Mistake: `out` is one of the inputs, or holds one.
    """

    def __init__(self, out, options, inputs, *, overwrite):
        self.out, self.options, self.inputs, self.overwrite = Path(out), options, inputs, overwrite
        for path in inputs.values():
            if self.out.resolve() in (path.resolve(), *path.resolve().parents):
                raise Mistake(f"{out} holds {path}, which this run reads; give another --out")
        self.fingerprints = {name: fingerprint(path) for name, path in inputs.items()}

    def result(self):
        """Returns the result of the finished run of these options and inputs that the folder holds, else None: train.

        Raises:
            Mistake: It holds a run of other options or inputs (names the first that differs), or something that is no run.
        """
        out = self.out
        if not out.exists() or (out.is_dir() and {path.name for path in out.iterdir()} <= {"config.json.part"}):
            return None  # a kill may leave that part
        try:
            before = lineage(out)
            options, fingerprints = before["options"], before["fingerprints"]
        except (OSError, ValueError, KeyError, TypeError):
            raise Mistake(f"{out} exists and is no run folder; give another --out") from None
        if self.overwrite:
            return None
        remedy = "give another --out, or --overwrite to start anew"
        for name, value in self.options.items():
            same_content = name in self.inputs and fingerprints.get(name) == self.fingerprints[name]
            if options.get(name) != value and not same_content:
                raise Mistake(f"{out} holds a run with --{name} {options.get(name)}, not {value}; {remedy}")
        for name, value in self.fingerprints.items():
            if fingerprints.get(name) != value:
                raise Mistake(
                    f"{out} holds a run with --{name} {self.inputs[name]} as it was (SHA-256 {fingerprints.get(name)}...), "
                    f"not as it is now ({value}...); {remedy}"
                )
        if not (out / "metrics.json").is_file():
            return None
        shutil.rmtree(out / "checkpoint", ignore_errors=True)  # where a kill came right after the result
        return json.loads((out / "metrics.json").read_text(encoding="utf-8"))

    @contextmanager
    def owned(self):
        """Makes the folder if need be, and holds it: no second process trains in it meanwhile.

        Raises:
            Mistake: It cannot be made, or another process holds it.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            files.sync_folder(self.out.parent)
            descriptor = os.open(self.out, os.O_RDONLY)
        except OSError as error:
            raise Mistake(f"{self.out}: cannot be made ({error.strerror}); give another --out") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
            except BlockingIOError:
                raise Mistake(
                    f"{self.out}: another process trains in this folder; wait for it, or give another --out"
                ) from None
            except OSError as error:
                say(f"{self.out}: cannot be locked ({error.strerror}): see that no other process trains in it")
            yield
        finally:
            os.close(descriptor)

    def start(self, config, tokenizer):
        """Writes what a run folder holds from its first moment; with `overwrite`, deletes the run that it held, no more.

        Says so if the run began in another environment.
        """
        if checkpoint.newest(self.out / "checkpoint") and not self.overwrite:
            before = lineage(self.out).get("environment", {})
            for name, value in environment().items():
                if before.get(name) != value:
                    say(f"note      begun with {name} {before.get(name)}, here {value}: the last bits may differ")
        if self.overwrite:
            for name in TRAINED:  # the other files are replaced below
                path = self.out / name
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        own = {"options": self.options, "fingerprints": self.fingerprints, "environment": environment()}
        config["lineage"] |= own
        files.write_json(self.out / "config.json", config)
        files.write(self.out / "vocab.txt", "\n".join(tokenizer.vocabulary) + "\n")
        files.write(self.out / "labels.txt", "\n".join(config["id2label"].values()) + "\n")
        files.write_json(self.out / "tokenizer_config.json", pretrained.tokenizer_config(tokenizer.lower_case))

    def finish(self, content, result):
        """Writes a run's weights and result; from then on it is finished, and needs no checkpoint."""
        files.write(self.out / "model.safetensors", content)
        files.write_json(self.out / "metrics.json", result)
        shutil.rmtree(self.out / "checkpoint", ignore_errors=True)


def lineage(out):
    """Returns what a run's `config.json` says of the run."""
    return json.loads((out / "config.json").read_text(encoding="utf-8"))["lineage"]


def environment():
    """Returns what the bits of a run depend on beside its options and data."""
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    return versions | {"cores": os.cpu_count(), "machine": platform.machine()}


def fingerprint(path):
    """Returns the first 16 digits of the SHA-256 of a file, or of the files of a folder of weights."""
    vocabulary = "vocab.txt" if (path / "vocab.txt").is_file() else "tokenizer.json"
    names = ("*config.json", vocabulary, "model.safetensors", "*.index", "*.data-*")
    found = sorted(file for name in names for file in path.glob(name)) if path.is_dir() else [path]
    hasher = hashlib.sha256()
    for file in found:
        try:
            with open(file, "rb") as content:
                hasher.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as error:
            raise Mistake(f"{file}: cannot be read ({error.strerror})") from None
    return hasher.hexdigest()[:16]


def config_of_run(init_config, task_name, reading, names):
    """Returns the run's `config.json`: that of its initial weights, its task, and the names of its data and weights that mean
    something elsewhere; `Folder.start` adds its options."""
    own = {name: getattr(reading, name) for name in READING if getattr(reading, name) is not None}
    return init_config | {
        "architectures": [HEADS[TASKS[task_name].head].ARCHITECTURE],
        "id2label": {str(i): label for i, label in enumerate(reading.labels)},
        "label2id": {label: i for i, label in enumerate(reading.labels)},
        "lineage": {"task": task_name, **own, "names": names},
    }


def _what_is(folder):
    """Returns what a folder is, in words."""
    if not (folder / "config.json").is_file():
        return "no run"
    try:
        config = pretrained.read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    if not isinstance(config.get("lineage"), dict):
        return "weights without what a run says of itself (as pretrained ones, or those that export_hf writes)"
    return "a finished run" if (folder / "metrics.json").is_file() else "an unfinished run"


class Run:
    """A trained model from its folder: `functions` map raw strings to decoded answers, here and in the exported graph.

    Args:
        folder: A finished run.
        null_threshold: Of the run's `features.Reading`; None: the best one that its dev data showed, if they did.

    Raises:
        Mistake: Not a finished run; or a threshold for one that is not of questions.
    """

    def __init__(self, folder, *, null_threshold=None):
        folder = Path(folder)
        found = _what_is(folder)
        if found != "a finished run":
            raise Mistake(f"{folder}: expected a finished run (written by `python -m trainer finetune`), found {found}")
        self.config, tokenizer = read_init(folder)
        own = self.config["lineage"]
        missing = [name for name in ("task", "max_length", "options") if name not in own]
        if missing or own["task"] not in TASKS:
            wrong = f"nothing of {', '.join(missing)}" if missing else f"the task {own['task']}"
            raise Mistake(f"{folder / 'config.json'}: expected what a run of this version writes, found {wrong}")
        self.task_name = own["task"]
        self.task = TASKS[self.task_name]
        self.head = HEADS[self.task.head]
        if null_threshold is not None and self.task.head != "span":
            raise Mistake(f"--null_threshold: expected for qa, received for {folder}, a run of {self.task_name}")
        if null_threshold is not None and not 0 <= null_threshold <= 1:
            raise Mistake(f"--null_threshold: expected a probability, 0 to 1, received {null_threshold:g}")
        reading = {"fields": ["text"]} | {name: own[name] for name in READING if name in own}
        reading |= {"fields": tuple(reading["fields"]), "labels": read_labels(folder, self.config)}
        try:
            result = pretrained.read_json(folder / "metrics.json")
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None
        kept = "best" if own["options"].get("keep") == "best" else "final"
        self.scores = result.get(kept) or {}  # of the weights that are kept
        if null_threshold is not None or "null_threshold" in self.scores:
            reading["null_threshold"] = self.scores["null_threshold"] if null_threshold is None else null_threshold
        self.reading = features.Reading(tokenizer, **reading)
        self.fields = self.reading.fields  # of the rows that it was trained on
        trained = next(signature for signature, fields in self.task.inputs if fields == self.fields)
        self.inputs = [
            fields for signature, fields in self.task.inputs if fields == self.fields or signature != trained
        ]  # that it answers
        self.column = own["options"].get("column")
        self.model = build_model(self.config, self.task, self.reading.labels)
        load_weights(self.model, folder)

    def functions(self):
        """Returns {signature: tf.function} from strings to outputs: text -> pieces -> features -> logits -> answers."""
        return self.head.functions(self.model, self.reading)

    def scorer(self, rows, batch_size):
        """Returns the head's `Scorer` of rows with gold values."""
        return self.head.Scorer(self.model, self.reading, rows, self.task, batch_size)
