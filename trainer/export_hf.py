"""A finished run as a folder that transformers opens, and that may be given away: weights, settings, a model card.

A run folder opens in transformers as it is; what this writes beside has a card (https://huggingface.co/docs/hub/model-cards)
and none of the paths of the machine that it was trained on.
"""

import json
import re
from pathlib import Path

from models.files import new_folder
from trainer import datasets, hub
from trainer.runs import Run

# Head -> (class of transformers, task by the hub's name)
CLASSES = {
    "classify": ("AutoModelForSequenceClassification", "text-classification"),
    "tag": ("AutoModelForTokenClassification", "token-classification"),
    "span": ("AutoModelForQuestionAnswering", "question-answering"),
}
PATHS = ("train", "dev", "init", "vocabulary")  # options that name files


def export_hf(run, to):
    """Writes the folder.

    Args:
        run: Run folder.
        to: Folder to be.

    Returns:
        {"task", "path", "architecture", "files"}.

    Raises:
        Mistake: Not a finished run.
        FileExistsError, ValueError: `to` is there and holds files, or cannot be made.
    """
    folder, to = Path(run), Path(to)
    run = Run(folder)
    config = {name: value for name, value in run.config.items() if name not in ("lineage", "transformers_version")}
    content = {
        name: (folder / name).read_bytes() for name in ("model.safetensors", "vocab.txt", "tokenizer_config.json")
    }
    content["config.json"] = (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()
    result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    content["README.md"] = card(run, to.name, result).encode()
    with new_folder(to) as part:
        for name, one in content.items():
            (part / name).write_bytes(one)
    return {
        "task": run.task_name,
        "path": str(to),
        "architecture": config["architectures"][0],
        "files": sorted(content),
    }


def card(run, name, result):
    """Returns a model card: what it is, how it was trained, how well it does, how to ask it, where it may fail.

    Args:
        run: A `trainer.runs.Run`.
        name: Of the model, for the heading.
        result: Of `metrics.json`.
    """
    options = run.config["lineage"]["options"]
    class_name, hub_task = CLASSES[run.task.head]
    named = {option: _without_path(options[option]) for option in PATHS if options.get(option)}
    named |= {part: f"{named[part]}:{part}" for part in ("train", "dev") if named.get(part) in datasets.DATA}
    data_set = datasets.DATA.get(options["train"].partition(":")[0])
    base = hub.PRESETS[options["init"]].repository if options.get("init") in hub.PRESETS else named.get("init")
    kept = "best" if options.get("keep") == "best" else "final"
    scores = {name: value for name, value in (result.get(kept) or {}).items() if isinstance(value, float)}
    front = {
        "library_name": "transformers",
        "pipeline_tag": hub_task,
        "tags": ["lineage", "bert", run.task_name],
        **({"base_model": base} if base and re.fullmatch(r"[\w.-]+/[\w.-]+", base) else {}),
        **({"language": _languages(data_set)} if data_set else {}),
    }
    settings = {
        name: value for name, value in options.items() if value not in (None, False) and name not in (*PATHS, "labels")
    }
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()),
            "---",
            "",
            f"# {name}",
            "",
            f"A BERT of {result['parameters']:,} parameters for {run.task_name}, trained with Lineage"
            f" from {base or 'random weights'} on {named['train']}.",
            f"The licences of the data{f' ({data_set.licence})' if data_set else ''} and of the weights it began with apply.",
            "",
            f"- Reads {' and '.join(run.fields)}, {run.reading.max_length} pieces at once;"
            f" {'lower-cased, without accents' if run.reading.tokenizer.lower_case else 'cased'}.",
            *([_labels(run)] if run.task.head != "span" else []),
            "",
            "## Scores",
            "",
            *(
                [
                    f"On {named['dev']}"
                    + (f", its first {options['dev_limit']:,} rows" if options.get("dev_limit") else "")
                    + ":"
                ]
                if named.get("dev")
                else ["It was not scored."]
            ),
            "",
            *(f"- {metric}: {value:g}" for metric, value in scores.items()),
            "",
            "## Training",
            "",
            f"{result['steps']:,} steps; {', '.join(f'{name} {value}' for name, value in settings.items())}.",
            "",
            "## Use",
            "",
            "```python",
            *_SNIPPETS[run.task.head].format(class_name=class_name, name=name).splitlines(),
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
    if run.task.head != "tag":
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


def _without_path(name):
    """Returns a name of data or weights; of a path, which says where somebody keeps them, its last part."""
    return Path(name).name if "/" in name and (Path(name).exists() or name.startswith(("/", ".", "~"))) else name


def _languages(data_set):
    codes = {"English": "en", "Chinese": "zh", "German": "de"}
    return [codes[language] for language in data_set.language.split(", ")]
