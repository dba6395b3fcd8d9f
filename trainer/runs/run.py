"""A trained model from its run folder, and what one begins with: settings, vocabulary, labels, weights."""

from pathlib import Path

from trainer.architectures import table
from trainer.errors import Mistake, described
from trainer.tasks.kinds import KINDS
from trainer.tasks.table import TASKS
from trainer.text.reading import Reading
from trainer.text.word_pieces import Tokenizer, read_vocabulary
from trainer.weights import pretrained

# What `config.json` holds of a run's `Reading`, beside its labels
READING = ("fields", "max_length", "doc_stride", "max_answer_length", "null_threshold")


def read_init(folder):
    """Reads the configuration and the tokenizer of pretrained weights.

    Returns:
        (config, Tokenizer) of a folder of either form; `config` has the keys of Hugging Face's `config.json`.

    Raises:
        Mistake: Something is missing, or is not what this project supports.
    """
    folder = Path(folder)
    try:
        config = table.read_config(folder)
        content, lower_case = pretrained.read_tokenizer(folder)
        vocabulary = read_vocabulary(folder / "vocab.txt", content)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    if len(vocabulary) > config["vocab_size"]:
        raise Mistake(
            f"{folder / 'vocab.txt'}: has {len(vocabulary)} pieces, but its configuration says vocab_size {config['vocab_size']}"
        )
    return config, Tokenizer(vocabulary, lower_case=lower_case)


def new_config(model, vocabulary_path):
    """Returns what `read_init` does, for weights that are yet to be learned: a model by name, a vocabulary.

    Raises:
        Mistake: No such model; the vocabulary cannot be read.
    """
    architecture, size = table.named(model)
    try:
        vocabulary = read_vocabulary(vocabulary_path)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    config = architecture.configuration(size, len(vocabulary))
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
    kind, architecture = KINDS[task.kind], table.of(config)
    encoder = architecture.build(config, kind.ENCODER, seed=seed)
    return kind.build(encoder, len(labels), dropout=architecture.head_dropout(config), seed=seed)


def load_weights(model, config, folder, *, ignore=()):
    """As `load` of the configuration's architecture; a file that does not fit is the user's mistake."""
    try:
        return table.of(config).load(model, folder, ignore=ignore)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None


def config_of_run(init_config, task_name, reading, names):
    """Returns the run's `config.json`: that of its initial weights, its task, and the names of its data and weights that mean
    something elsewhere; `Folder.start` adds its options."""
    own = {name: getattr(reading, name) for name in READING if getattr(reading, name) is not None}
    theirs = {"architectures": [KINDS[TASKS[task_name].kind].ARCHITECTURE]}
    return init_config | {
        **(theirs if table.of(init_config).OPENS_IN_TRANSFORMERS else {}),
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
        null_threshold: Of the run's `Reading`; None: the best one that its dev data showed, if they did.

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
        self.kind = KINDS[self.task.kind]
        if null_threshold is not None and self.task.kind != "span":
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
        self.reading = Reading(tokenizer, **reading)
        self.fields = self.reading.fields  # of the rows that it was trained on
        trained = next(signature for signature, fields in self.task.inputs if fields == self.fields)
        self.inputs = [
            fields for signature, fields in self.task.inputs if fields == self.fields or signature != trained
        ]  # that it answers
        self.column = own["options"].get("column")
        self.model = build_model(self.config, self.task, self.reading.labels)
        load_weights(self.model, self.config, folder)

    def functions(self):
        """Returns {signature: tf.function} from strings to outputs: text -> pieces -> features -> logits -> answers."""
        return self.kind.functions(self.model, self.reading)

    def scorer(self, rows, batch_size):
        """Returns the kind's `Scorer` of rows with gold values."""
        return self.kind.Scorer(self.model, self.reading, rows, self.task, batch_size)
