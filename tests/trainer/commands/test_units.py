"""Runs that read words or characters, with vocabularies made of their data; exports answer as they do."""

import json

from serving.export import export
from tests.conftest import answers_of_export, cli, write_examples, write_treebank
from trainer.runs.run import Run
from trainer.tasks.table import TASKS

TEXTS = ["Good film", "坏 片，a BAD film", "", "中国人 very good中 \u200b", "goodness ab café"]


def finetune(capsys, task, folder, **options):
    train = {"sentiment": (write_examples, "train.txt"), "tagging": (write_treebank, "train.conllu")}[task]
    train = train[0](folder / train[1], 480)
    options = {
        "train": train,
        "dev": train,
        "dev_limit": 64,
        "model": "bag",
        "epochs": 2,
        "learning_rate": 0.05,
    } | options
    options = {name: value for name, value in options.items() if value is not None} | {"out": folder / "run"}
    status, out, err = cli(capsys, "finetune", task, *[f"--{name}={value}" for name, value in options.items()])
    assert status == 0, err
    return folder / "run", json.loads(out), err


def same_answers(capsys, run, task, folder):
    rows = [{"text": text} for text in TEXTS]
    _, out, _ = cli(capsys, "predict", run, "--text", *TEXTS)
    predicted = [json.loads(line) for line in out.splitlines()]
    export(run, folder / "export")
    assert answers_of_export(folder / "export" / "1", TASKS[task], rows, 2) == predicted
    return predicted


def test_sentiment(capsys, tmp_path):
    run, result, err = finetune(capsys, "sentiment", tmp_path, unit="words", unknown=16)
    assert result["final"]["accuracy"] > 0.9
    predicted = same_answers(capsys, run, "sentiment", tmp_path)
    assert [row["label"] for row in predicted[:2]] == ["positive", "negative"]
    assert json.loads((run / "tokenizer_config.json").read_text()) == {
        "do_lower_case": True,
        "unit": "words",
        "unknown": 16,
    }
    entries = (run / "vocab.txt").read_text().splitlines()
    size = json.loads((run / "config.json").read_text())["vocabulary_size"]
    assert size == len(entries) + 16 == Run(run).blueprint.tokenizer.size
    line = next(line for line in err.splitlines() if line.startswith("text "))
    about = f"{len(entries)} words; unknown ones: 16 hash buckets; made of the training texts, in which 0.00% of"
    assert line.startswith(f"text      lower-cased, without accents; {about}")


def test_tagging(capsys, tmp_path):
    run, result, _ = finetune(capsys, "tagging", tmp_path, unit="words")
    assert result["final"]["accuracy"] > 0.6
    predicted = same_answers(capsys, run, "tagging", tmp_path)
    for text, row in zip(TEXTS, predicted, strict=True):
        assert row["words"] == [text[start:end] for start, end in zip(row["starts"], row["ends"], strict=True)]
    assert "中国" in (run / "vocab.txt").read_text().splitlines()
    status, out, err = cli(capsys, "predict", run, "--words", "中国", "\u200b", "good")
    assert status == 0 and len(json.loads(out)["tags"]) == 3, err


def test_letters_of_words(capsys, tmp_path):
    words = {"unit": "words", "unknown": "characters", "vocabulary_size": 9}
    run, result, _ = finetune(capsys, "tagging", tmp_path, settings="letters=4", **words)
    assert result["final"]["accuracy"] > 0.6 and Run(run).blueprint.tokenizer.letters == 4
    assert "letters" in Run(run).setup.reader.inputs()
    same_answers(capsys, run, "tagging", tmp_path)


def test_what_others_cannot_read(capsys, tmp_path):
    run, *_ = finetune(capsys, "sentiment", tmp_path, model="tiny", unit="characters", epochs=1)
    status, _, err = cli(capsys, "export_hf", run, "--to", tmp_path / "given-away")
    assert status == 2 and "expected a run that reads word pieces, as transformers does, found characters" in err
    status, _, err = cli(capsys, "convert", run, "--to", tmp_path / "google")
    assert status == 2 and "expected a model that reads word pieces, found one that reads characters" in err


def test_letters_need_words(capsys, tmp_path):
    train = write_examples(tmp_path / "train.txt", 8)
    options = ["--train", train, "--out", tmp_path / "run", "--model", "bag", "--settings", "letters=4"]
    status, _, err = cli(capsys, "finetune", "sentiment", *options)
    assert status == 2 and err.splitlines()[-1].endswith(
        "letters of words: expected the unit words or tokens, received pieces"
    )
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\n")
    given = [*options, "--unit", "words", "--vocabulary", tmp_path / "vocab.txt", "--epochs", "1"]
    assert cli(capsys, "finetune", "sentiment", *given)[0] == 0
    settings = tmp_path / "run" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"unknown": "guess"}))
    status, _, err = cli(capsys, "predict", tmp_path / "run", "--text", "a")
    assert status == 2 and "unknown words: expected unk, characters, a number above 0, received guess" in err
