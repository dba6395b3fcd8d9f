"""A finished run as a folder that transformers opens, and that may be given away: weights, settings, a model card.

A run folder opens in transformers as it is. This one also has a card (https://huggingface.co/docs/hub/model-cards), and none
of the paths of the machine that it was trained on.
"""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import json
import shutil
from pathlib import Path
from typing import Any

from trainer.data import datasets
from trainer.errors import Mistake
from trainer.options import ExportHuggingFace
from trainer.pretraining.language import LanguageModel
from trainer.pretraining.run import Pretrained
from trainer.runs import PRETRAINING
from trainer.runs.folder import method_of
from trainer.runs.run import Run
from trainer.weights import pretrained
from trainer.writing import naming, new_folder, print_json

PATHS = ("train", "dev", "init", "vocabulary")  # options that name files
# Keys of `config.json` that this program alone reads, or that speak of another machine
OURS = ("lineage", "_name_or_path", "transformers_version")


LIMITS = """
## Limits

It knows what its training data show, with their errors and their bias; the scores above hold for text of that kind. It was \
not tested for fairness or against texts that are meant to mislead it.
"""


def run(options: ExportHuggingFace) -> None:
    with naming(options.to):
        print_json(export_hf(options.run, options.to))


def export_hf(run: str | Path, to: str | Path) -> dict[str, Any]:
    """Writes the folder.

    Args:
        run: Run folder.
        to: Folder to write.

    Returns:
        {"task", "path", "architecture", "files"}.

    Raises:
        Mistake: Not a finished run; or a model that transformers does not have, whole or in its head.
        FileExistsError, ValueError: `to` exists and holds files, or cannot be made.
    """
    folder, to = Path(run), Path(to)
    if method := method_of(folder):
        if method == "word2vec":
            raise Mistake(
                f"{folder}: expected a run of a model that transformers has, found word2vec (vectors writes its vectors)"
            )
        if method in LanguageModel.methods:
            language = LanguageModel(folder)
            _check(folder, language.blueprint, language.blueprint.architecture.language_model)
            return _write(folder, to, PRETRAINING, language, card_of_language_model(language, to.resolve().name))
        learned = Pretrained(folder)
        return _write(folder, to, PRETRAINING, learned, card_of_pretraining(learned, to.resolve().name))
    trained = Run(folder)
    _check(folder, trained.blueprint, trained.blueprint.architecture.family)
    if not trained.kind.transformers:
        raise Mistake(
            f"{folder}: expected a run that transformers can answer as, found one of --decoder {trained.setup.decoder}, which "
            "transformers does not have"
        )
    return _write(folder, to, trained.task_name, trained, card(trained, to.resolve().name))


def _check(folder, blueprint, name):
    """Refuses a model that has no name in transformers, or reads other units than word pieces."""
    if not name:
        raise Mistake(
            f"{folder}: expected a run of a model that transformers has, found {blueprint.architecture.title}"
        )
    unit = blueprint.tokenizer.unit
    if unit != "pieces":
        raise Mistake(f"{folder}: expected a run that reads word pieces, as transformers does, found {unit}")


def _write(folder: Path, to: Path, task: str, run: Run | Pretrained | LanguageModel, readme: str) -> dict[str, Any]:
    """Writes a run's weights and settings as a folder, with a model card; see `export_hf`."""
    config = {name: value for name, value in run.settings.items() if name not in OURS}
    tokenizer = run.blueprint.tokenizer
    contents = {
        "config.json": json.dumps(config, ensure_ascii=False, indent=2) + "\n",
        "tokenizer_config.json": json.dumps(pretrained.tokenizer_config(tokenizer.lower_case), indent=2) + "\n",
        "vocab.txt": "\n".join(tokenizer.vocabulary) + "\n",
        "README.md": readme,
    }
    with new_folder(to) as temporary:
        shutil.copyfile(folder / "model.safetensors", temporary / "model.safetensors")
        for name, content in contents.items():
            (temporary / name).write_text(content, encoding="utf-8")
    return {
        "task": task,
        "path": str(to),
        "architecture": config["architectures"][0],
        "files": sorted([*contents, "model.safetensors"]),
    }


def card_of_pretraining(run: Pretrained, name: str) -> str:
    """Returns the model card of a run of pretraining: what it learned from, its scores, how to use it."""
    options, names, scores = run.options, run.lineage["names"], run.scores
    masked = "words, all their pieces," if options["masking"] == "words" else "pieces"
    follows = ", and whether a second text follows the first" if "nsp" in options["objectives"] else ""
    settings = ("model", "steps", "batch_size", "accumulate", "max_length", "learning_rate", "masked_share", "seed")
    front_matter = {"library_name": "transformers", "pipeline_tag": "fill-mask", "tags": ["lineage", "bert"]}
    about = [
        f"A BERT of {run.model.count_params():,} parameters, pretrained with Lineage on {', '.join(names['text'])}: masked"
        f" {masked} {options['masked_share']:.0%} of all{follows}.",
        f"It began with {names['init'] or 'random weights'}. The licences of the text and of those weights apply.",
    ]
    program = [
        "from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline",
        "",
        f'tokenizer, model = AutoTokenizer.from_pretrained("{name}"), AutoModelForMaskedLM.from_pretrained("{name}")',
        'print(pipeline("fill-mask", model=model, tokenizer=tokenizer)("a [MASK] text"))',
    ]
    scored = "On documents of the same text that were held out:" if scores else ""
    return _page(front_matter, name, about, scored, scores, {option: options[option] for option in settings}, program)


def card_of_language_model(run: LanguageModel, name: str) -> str:
    """Returns the model card of a language model: what it learned from, its scores, how to use it."""
    options, names = run.options, run.lineage["names"]
    settings = ("model", "steps", "batch_size", "max_length", "learning_rate", "seed")
    front_matter = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["lineage"]}
    about = [
        f"A {run.blueprint.architecture.title} of {run.model.count_params():,} parameters, trained with Lineage on"
        f" {', '.join(names['text'])} to say which word piece comes next; [SEP] is the end of a line.",
        f"It began with {names['init'] or 'random weights'}. The licences of the text and of those weights apply.",
    ]
    program = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer, model = AutoTokenizer.from_pretrained("{name}"), AutoModelForCausalLM.from_pretrained("{name}")',
        'inputs = tokenizer("once upon", add_special_tokens=False, return_tensors="pt")',
        "print(tokenizer.decode(model.generate(inputs.input_ids, max_new_tokens=20)[0]))",
    ]
    scored = "On the end of the same text, or on the text that was given for it:" if run.scores else ""
    return _page(
        front_matter, name, about, scored, run.scores, {option: options[option] for option in settings}, program
    )


def _page(front_matter, name, about, scored, scores, settings, program):
    """Returns what every card has: front matter, what the model is, its scores (`scored`: on what; "": on nothing), settings, use."""
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front_matter.items()),
            "---",
            "",
            f"# {name}",
            "",
            *about,
            "",
            "## Scores",
            "",
            scored or "It was not scored.",
            "",
            *(f"- {metric}: {value:g}" for metric, value in scores.items() if isinstance(value, float)),
            "",
            "## Training",
            "",
            f"{', '.join(f'{option} {value}' for option, value in settings.items())}.",
            "",
            "## Use",
            "",
            "```python",
            *program,
            "```",
            "",
        ]
    )


def card(run: Run, name: str) -> str:
    """Returns a model card: what the model is, how it was trained, its scores, how to use it, its limits.

    Args:
        run: Of the model.
        name: For the heading.
    """
    options = run.lineage["options"]
    # Older runs did not record names
    names = {option: Path(options[option]).name for option in ("train", "dev") if options.get(option)}
    names |= run.lineage.get("names", {})
    base = names.get("init")
    initial = base or ("weights of a folder" if options.get("init") else "random weights")
    data_set = datasets.DATA.get(names["train"].partition(":")[0])
    published = run.kind.transformers
    assert published  # else refused
    class_name = f"AutoModel{published.model_class}"
    front_matter = {
        "library_name": "transformers",
        "pipeline_tag": published.pipeline,
        "tags": ["lineage", "bert", run.task_name],
        **({"base_model": base} if base and "/" in base else {}),
        **({"language": _languages(data_set)} if data_set else {}),
    }
    settings = {
        option: value
        for option, value in options.items()
        if value is not None and value is not False and option not in (*PATHS, "labels")
    }
    first_rows = f", its first {options['dev_limit']:,} rows" if options.get("dev_limit") else ""
    about = [
        f"A BERT of {run.model.count_params():,} parameters for {run.task_name}, trained with Lineage"
        f" from {initial} on {names['train']}.",
        f"The licences of the data{f' ({data_set.licence})' if data_set else ''} and of the weights it began with apply.",
        "",
        f"- Reads {' and '.join(run.fields)}, {run.setup.reader.max_length} pieces at once;"
        f" {'lower-cased, without accents' if run.blueprint.tokenizer.lower_case else 'cased'}.",
        *([_labels(run)] if run.task.kind != "span" else []),
    ]
    scored = f"On {names['dev']}{first_rows}:" if names.get("dev") else ""
    program = published.snippet.format(class_name=class_name, name=name).splitlines()
    return _page(front_matter, name, about, scored, run.scores, settings, program) + LIMITS


def _labels(run):
    """Returns the line that lists the labels; those of tagging are not its tags, which the line explains."""
    labels = f"- Labels: {', '.join(run.setup.labels)}."
    if run.task.kind != "tag":
        return labels
    return (
        f"{labels} A label says for a token of a text, as cut at white space and punctuation and between Chinese"
        " characters, where words begin in it and how they are tagged."
    )


def _languages(data_set):
    codes = {"English": "en", "Chinese": "zh", "German": "de"}
    return [codes[language] for language in data_set.language.split(", ")]
