"""A finished run as a folder that transformers opens, and that may be given away: weights, settings, a model card.

A run folder opens in transformers as it is; what this writes beside has a card (https://huggingface.co/docs/hub/model-cards)
and none of the paths of the machine that it was trained on.
"""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import json
import shutil
from pathlib import Path

from trainer.architectures import table
from trainer.data import datasets
from trainer.errors import Mistake
from trainer.runs.run import Run
from trainer.weights import pretrained
from trainer.writing import naming, new_folder, print_json

# Head -> (class of transformers, task by the hub's name)
CLASSES = {
    "classify": ("AutoModelForSequenceClassification", "text-classification"),
    "tag": ("AutoModelForTokenClassification", "token-classification"),
    "span": ("AutoModelForQuestionAnswering", "question-answering"),
}
PATHS = ("train", "dev", "init", "vocabulary")  # options that name files
OURS = ("lineage", "_name_or_path", "transformers_version")  # what `config.json` holds for us, or of another machine


def run(options):
    with naming(options.to):
        print_json(export_hf(options.run, options.to))


def export_hf(run, to):
    """Writes the folder.

    Args:
        run: Run folder.
        to: Folder to be.

    Returns:
        {"task", "path", "architecture", "files"}.

    Raises:
        Mistake: Not a finished run; of a model that transformers has not.
        FileExistsError, ValueError: `to` is there and holds files, or cannot be made.
    """
    folder, to = Path(run), Path(to)
    run = Run(folder)
    if not table.of(run.config).OPENS_IN_TRANSFORMERS:
        raise Mistake(f"{folder}: expected a run of a model that transformers has, found {table.of(run.config).TITLE}")
    config = {name: value for name, value in run.config.items() if name not in OURS}
    settings = pretrained.tokenizer_config(run.reading.tokenizer.lower_case)
    written = {
        "config.json": json.dumps(config, ensure_ascii=False, indent=2) + "\n",
        "tokenizer_config.json": json.dumps(settings, indent=2) + "\n",
        "vocab.txt": "\n".join(run.reading.tokenizer.vocabulary) + "\n",
        "README.md": card(run, to.resolve().name),
    }
    with new_folder(to) as part:
        shutil.copyfile(folder / "model.safetensors", part / "model.safetensors")
        for name, content in written.items():
            (part / name).write_text(content, encoding="utf-8")
    return {
        "task": run.task_name,
        "path": str(to),
        "architecture": config["architectures"][0],
        "files": sorted([*written, "model.safetensors"]),
    }


def card(run, name):
    """Returns a model card: what it is, how it was trained, how well it does, how to ask it, where it may fail.

    Args:
        run: A `trainer.runs.run.Run`.
        name: Of the model, for the heading.
    """
    options = run.config["lineage"]["options"]
    named = {part: Path(options[part]).name for part in ("train", "dev") if options.get(part)}  # of runs before names
    named |= run.config["lineage"].get("names", {})
    base = named.get("init")
    began = base or ("weights of a folder" if options.get("init") else "random weights")
    data_set = datasets.DATA.get(named["train"].partition(":")[0])
    class_name, hub_task = CLASSES[run.task.kind]
    front = {
        "library_name": "transformers",
        "pipeline_tag": hub_task,
        "tags": ["lineage", "bert", run.task_name],
        **({"base_model": base} if base else {}),
        **({"language": _languages(data_set)} if data_set else {}),
    }
    settings = {
        option: value
        for option, value in options.items()
        if value is not None and value is not False and option not in (*PATHS, "labels")
    }
    first = f", its first {options['dev_limit']:,} rows" if options.get("dev_limit") else ""
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()),
            "---",
            "",
            f"# {name}",
            "",
            f"A BERT of {run.model.count_params():,} parameters for {run.task_name}, trained with Lineage"
            f" from {began} on {named['train']}.",
            f"The licences of the data{f' ({data_set.licence})' if data_set else ''} and of the weights it began with apply.",
            "",
            f"- Reads {' and '.join(run.fields)}, {run.reading.max_length} pieces at once;"
            f" {'lower-cased, without accents' if run.reading.tokenizer.lower_case else 'cased'}.",
            *([_labels(run)] if run.task.kind != "span" else []),
            "",
            "## Scores",
            "",
            f"On {named['dev']}{first}:" if named.get("dev") else "It was not scored.",
            "",
            *(f"- {metric}: {value:g}" for metric, value in run.scores.items() if isinstance(value, float)),
            "",
            "## Training",
            "",
            f"{', '.join(f'{name} {value}' for name, value in settings.items())}.",
            "",
            "## Use",
            "",
            "```python",
            *_SNIPPETS[run.task.kind].format(class_name=class_name, name=name).splitlines(),
            "```",
            "",
            "## Limits",
            "",
            "It knows what its training data show, with their errors and their bias; the scores above hold for text of that"
            " kind. It was not tested for fairness or against texts that are meant to mislead it.",
            "",
        ]
    )


def _labels(run):
    """Of tagging, they are not the tags."""
    labels = f"- Labels: {', '.join(run.reading.labels)}."
    if run.task.kind != "tag":
        return labels
    return (
        f"{labels} A label says for a token of a text, as cut at white space and punctuation and between Chinese"
        " characters, where words begin in it and how they are tagged."
    )


_SNIPPETS = {
    "classify": """\
import torch
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("a text", return_tensors="pt", truncation=True)  # of two texts: tokenizer("one", "other", ...)
probabilities = torch.softmax(model(**inputs).logits, -1)[0]
print({{model.config.id2label[i]: float(p) for i, p in enumerate(probabilities)}})""",
    "tag": """\
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("a text", return_tensors="pt", truncation=True)
for piece, label in zip(inputs.tokens(), model(**inputs).logits[0].argmax(-1)):
    print(piece, model.config.id2label[int(label)])""",
    "span": """\
import torch
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("What is asked?", "Where the answer stands.", return_tensors="pt", truncation="only_second")
output = model(**inputs)
question = torch.tensor([of == 0 for of in inputs.sequence_ids(0)])  # an answer stands in the context
start, end = (int(logits[0].masked_fill(question, -1e9).argmax()) for logits in (output.start_logits, output.end_logits))
print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))""",
}


def _languages(data_set):
    codes = {"English": "en", "Chinese": "zh", "German": "de"}
    return [codes[language] for language in data_set.language.split(", ")]
