"""What users get wrong, over all commands: one line on standard error that says what was received and what was expected.

Status 2 for the user's mistakes, 1 for what is not theirs; never a traceback, and nothing on standard output.
"""

import json
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from serving import export
from serving.client import command
from serving.server import command as server
from tests.conftest import ROOT, VOCABULARY, write_examples, write_questions, write_treebank
from trainer import __main__ as trainer
from trainer.errors import defect

MAINS = {
    "trainer": trainer.main,
    "serving.export": export.main,
    "serving.server": server.main,
    "serving.client": command.main,
}


@pytest.fixture(scope="module")
def mistakes_folder(tmp_path_factory, bert_folder, run_folder, tagging_run, export_folder):
    """A folder with one of everything that is wrong; the table below names its files."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_examples(folder / "train.txt", 8)
    shutil.copytree(bert_folder, folder / "tiny")
    shutil.copytree(run_folder, folder / "run")
    shutil.copytree(export_folder, folder / "export")

    def write(name, content):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    config = json.loads((folder / "tiny" / "config.json").read_text())

    def weights(name, **changes):
        shutil.copytree(bert_folder, folder / name)
        write(f"{name}/config.json", json.dumps(config | changes))
        return folder / name

    write("empty.txt", "")
    write("blank.txt", "1 good\n\n0 bad\n")
    write("latin.txt", "1 good\n0 caf\xe9\n".encode("latin-1"))
    write("strange.txt", "1 good\n7 what\n")
    write("same.txt", "good a film\ngood a day\n")
    write("words.txt", "1 good\nbad\n")
    write("columns.tsv", "sentence\tlabel\na film\t1\na\tb\t0\n")
    write("other.tsv", "text\twhat\na film\t5\n")
    write("broken.jsonl", '{"text": "a", "label": "positive"}\n{"text": "a"\n')
    write("field.jsonl", '{"text": "a", "label": "positive"}\n{"phrase": "a", "label": "positive"}\n')
    write("masks.jsonl", '{"text": "a [MASK]"}\n{"text": "b"}\n')
    write("drawn.jsonl", '{"text": "a", "max_new_units": 0}\n')
    write("number.jsonl", '{"text": 7, "label": "positive"}\n')
    write("list.jsonl", '["a", "positive"]\n')
    write_treebank(folder / "tree.conllu", 8)
    write("short.conllu", "1\tgood\t_\tADJ\t_\t_\t_\t_\t_\t_\n2\tfilm\n")
    write("same_tag.txt", "good X\nfilm X\n")
    write("pairs.tsv", "sentence1\tsentence2\tlabel\na\tb\t1\ngood\tbad\t0\n")
    write("no_labels.jsonl", '{"sentence1": "a", "sentence2": "b", "gold_label": "-"}\n')
    write_questions(folder / "questions.json", 8)
    write("lost.json", '{"question": "a", "context": "b", "answers": [{"text": "c", "answer_start": 0}]}\n')
    write("no_context.json", '{"question": "a", "answers": []}\n')
    write("plain.gz", "1 good\n0 bad\n")
    write("answers.json", '{"x": "y"}')
    write("words.jsonl", '{"words": "good film"}\n')
    write("bad.yaml", "epochs: [1\n")
    write("unknown.yaml", "epoch: 1\n")
    write("maybe.yaml", "overwrite: 'false'\n")
    write("no.yaml", "labels: [no, yes]\n")
    write("many.yaml", "epochs: many\n")
    write("list.yaml", "- 1\n- 2\n")
    write("filled/mine", "mine")
    write("labels.txt", "bad\ngood\nbad\n")
    write("one.txt", "good\n")
    (folder / "nothing").mkdir()
    vocabulary = "\n".join(VOCABULARY)
    weights("large", vocab_size=50)
    write("large/vocab.txt", vocabulary + "\nx\ny\n")
    weights("no_vocab").joinpath("vocab.txt").unlink()
    weights("plain_vocab").joinpath("vocab.txt").write_text("a\nb\n")
    weights("twice").joinpath("vocab.txt").write_text("\n".join([*VOCABULARY[:-1], "a"]), encoding="utf-8")
    weights("gpt", model_type="roberta")
    weights("broken_config").joinpath("config.json").write_text('{"model_type": ')
    weights("no_weights").joinpath("model.safetensors").unlink()
    weights("pointer").joinpath("model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    weights("wide", hidden_size=64)
    write("google/bert_config.json", json.dumps(config)) and shutil.copy(
        folder / "tiny" / "vocab.txt", folder / "google"
    )
    shutil.copytree(folder / "run", folder / "unfinished")
    (folder / "unfinished" / "metrics.json").unlink()
    shutil.copytree(folder / "run", folder / "relabelled")
    (folder / "relabelled" / "labels.txt").write_text("negative\npositive\nneutral\n")
    shutil.copytree(folder / "run", folder / "unlabelled")
    run_config = json.loads((folder / "run" / "config.json").read_text())
    write("unlabelled/config.json", json.dumps({key: value for key, value in run_config.items() if key != "id2label"}))
    shutil.copytree(folder / "run", folder / "foreign")
    write("foreign/config.json", json.dumps(run_config | {"lineage": {}}))
    shutil.copytree(tagging_run, folder / "tagged")
    write("table.csv", "text,label\na film,1\na, b,0\n")
    write("open.csv", 'text,label\n"a film,1\nb,0\n')
    write("bad.parquet", "text,label\n")
    write("two.csv", "review,comment,label\na,b,1\n")
    write("grades.tsv", "text\tlabel\na\t3.8\nb\t5.0\nc\t3.8\n")
    write("sorted.txt", "0 bad\n" * 40 + "1 good\n" * 40)
    write("garbage.config", "model_config_list {")
    write("empty.config", "")
    write("field.config", "model_config_list { config { nam: 1 } }")
    write("twice.config", "model_config_list {" + 2 * f' config {{ name: "a" base_path: "{folder}/export" }}' + "}")
    write("unnamed.config", "model_config_list { config { base_path: '/x' } }")
    return folder


TUNE = ["trainer", "finetune", "sentiment", "--train=train.txt", "--init=tiny", "--out=out", "--max_length=16"]
NEW = ["trainer", "finetune", "sentiment", "--train=train.txt", "--out=out"]
TAG = ["trainer", "finetune", "tagging", "--train=tree.conllu", "--init=tiny", "--out=out", "--max_length=16"]
INFER = ["trainer", "finetune", "nli", "--train=pairs.tsv", "--init=tiny", "--out=out", "--max_length=16"]
FIND = ["trainer", "finetune", "qa", "--train=questions.json", "--init=tiny", "--out=out", "--max_length=16"]
COMPARE = ["trainer", "compare", "sentiment", "--models=tiny", "--train=train.txt", "--dev=train.txt", "--out=out"]
SERVE = ["serving.server", "--model_name=sentiment"]
ASK = ["serving.client", "sentiment"]
UNUSED = "localhost:1"  # a port on which nothing listens

# (command line, status, what the line must say); file names are those of `mistakes_folder`
TABLE = [
    (["trainer"], 2, ["command", "finetune"]),
    (["trainer", "tune"], 2, ["'tune'", "finetune"]),
    (["trainer", "finetune", "sentiments", *TUNE[3:]], 2, ["expected one of sentiment, classification, nli, multi_label, regression, tagging, qa, translation, received sentiments"]),
    (["trainer", "finetune", "sentiment", "--train=train.txt"], 2, ["--out"]),
    (["trainer", "finetune", "text_generation", *TUNE[3:]], 2, ["received text_generation, which `python -m trainer pretrain lm` trains"]),
    (["trainer", "finetune"], 2, ["required: TASK, --train, --out"]),
    (["trainer", "finetune", "--task=qa"], 2, ["unrecognized arguments: --task=qa: given by its place alone, COMMAND TASK"]),
    ([*TUNE, "--train=table.csv"], 2, ["table.csv:3: expected 2 columns (text, label), found 3"]),
    ([*TUNE, "--train=open.csv"], 2, ["open.csv:2: expected the quote that a cell of this row begins with to be closed"]),
    ([*TUNE, "--train=two.csv"], 2, ["two.csv:1: expected one column for text, found review and comment; --text_column names it"]),
    ([*TUNE, "--train=bad.parquet"], 2, ["bad.parquet: expected "]),
    ([*TUNE, "--premise_column=a"], 2, ["--premise_column: expected columns of text or label for sentiment, received one of premise"]),
    ([*TUNE, "--text_column=0"], 2, ["--text_column: expected a name, or a number from 1, received"]),
    ([*TUNE, "--encoding=base64"], 2, ["--encoding: expected a name such as gb18030 or latin-1, received base64"]),
    ([*TUNE, "--separator=xx"], 2, ["--separator: expected comma, semicolon, tab, bar or a character, received xx"]),
    ([*TUNE, "--quotes=none"], 2, ["--quotes: expected cells or text, received none"]),
    (["trainer", "finetune", "classification", *TUNE[3:], "--train=grades.tsv"], 2, ["grades.tsv: expected names of classes as labels, found numbers with fractions such as 3.8"]),
    ([*TUNE, "--limit=3", "--sample=3"], 2, ["expected --limit, which takes the first rows, or --sample", "received both"]),
    ([*TUNE, "--lines=texts"], 2, ["--lines: expected labelled, received texts"]),
    ([*TUNE, "--init=owner/name", "--dry_run"], 2, ["owner/name: not here, and a dry run fetches nothing"]),
    ([*TUNE, "--train=cmrc2018", "--dry_run"], 2, ["cmrc2018: a data set for qa"]),
    (["trainer", "finetune", "qa", *TUNE[3:], "--train=squad2", "--dry_run"], 2, ["squad2:train: not here, and a dry run fetches nothing"]),
    (["trainer", "finetune", "qa", *TUNE[3:], "--train=tfds:squad", "--dry_run"], 2, ["tfds:squad: not here, and a dry run fetches nothing"]),
    (["trainer", "finetune", "sentiment", "--train=train.txt", "--out=out"], 2, ["expected either --init or --model, received neither"]),
    ([*TUNE, "--model=tiny"], 2, ["expected either --init or --model, received both"]),
    ([*TUNE, "--vocabulary=tiny/vocab.txt"], 2, ["--vocabulary: expected with --model, received with --init"]),
    ([*TUNE, "--unit=words"], 2, ["--unit: expected with --model, received with --init"]),
    ([*TUNE, "--unknown=unk"], 2, ["--unknown: expected with --model, received with --init"]),
    ([*TUNE, "--vocabulary_size=9"], 2, ["--vocabulary_size: expected with --model, received with --init"]),
    ([*NEW, "--model=tiny", "--unit=letters"], 2, ["--unit: expected pieces, words, characters or joined_pieces, received letters"]),
    ([*NEW, "--model=tiny", "--unit=words", "--unknown=0"], 2, ["--unknown: expected unk, characters or a number of hash buckets, received 0"]),
    ([*NEW, "--model=tiny", "--unknown=characters"], 2, ["--unknown characters: expected with --unit words, received with pieces"]),
    ([*NEW, "--model=tiny", "--unit=characters", "--unknown=9"], 2, ["--unknown 9: expected with --unit words, received with characters"]),
    ([*NEW, "--model=tiny", "--vocabulary=tiny/vocab.txt", "--vocabulary_size=9"], 2, ["--vocabulary_size: expected of a vocabulary that is made, received with --vocabulary"]),
    ([*NEW, "--model=tiny", "--vocabulary=tiny/vocab.txt", "--vocabulary_min_count=1"], 2, ["--vocabulary_min_count: expected of a vocabulary that is made, received with --vocabulary"]),
    ([*NEW, "--model=tiny", "--vocabulary_min_count=0"], 2, ["--vocabulary_min_count: expected more than 0, received 0"]),
    ([*NEW, "--model=tiny", "--unit=words", "--vocabulary_min_count=999"], 2, ["--vocabulary_min_count: expected words that stand in the training texts 999 times or more, found none"]),
    (["trainer", "vocabulary", "--out=vocab.txt"], 2, ["--text: expected files, received none"]),
    (["trainer", "vocabulary", "--text=none.txt", "--out=vocab.txt"], 2, ["--text none.txt: no such file"]),
    (["trainer", "vocabulary", "--text=train.txt", "--out=none/vocab.txt"], 2, ["--out none/vocab.txt: cannot be written"]),
    (["trainer", "vocabulary", "--text=train.txt", "--out=vocab.txt", "--segment"], 2, ["--segment: expected with --unit words, received with pieces"]),
    (["trainer", "vocabulary", "--text=train.txt", "--out=vocab.txt", "--unknown=9"], 2, ["--unknown: expected unk or characters, received 9"]),
    (["trainer", "vocabulary", "--text=train.txt", "--out=vocab.txt", "--size=5"], 2, ["--size: expected more than the 5 special tokens, received 5"]),
    (["trainer", "corpus", "--vocabulary=tiny/vocab.txt"], 2, ["--text: expected files, received none"]),
    (["trainer", "corpus", "--text=none.txt", "--vocabulary=tiny/vocab.txt"], 2, ["--text none.txt: no such file"]),
    (["trainer", "corpus", "--text=train.txt", "--vocabulary=tiny/vocab.txt", "--examples=-1"], 2, ["--examples: expected 0 or more, received -1"]),
    (["trainer", "pretrain", "gpt", "--text=train.txt", "--out=pre"], 2, ["--method: expected bert, lm, elmo or word2vec, received gpt"]),
    (["trainer", "pretrain", "bert", "--text=train.txt", "--model=tiny", "--out=pre"], 2, ["--vocabulary: expected with --model"]),
    (["trainer", "pretrain", "word2vec", "--text=train.txt", "--max_length=9", "--out=pre"], 2, ["--max_length: expected with bert, lm or elmo, received with word2vec"]),
    (["trainer", "vectors", "none", "--to=vectors.txt"], 2, ["none: expected a run of `python -m trainer pretrain word2vec`"]),
    ([*NEW, "--model=tiny", "--vocabulary_size=5"], 2, ["--vocabulary_size: expected more than the 5 special tokens, received 5"]),
    ([*NEW, "--model=huge"], 2, ["--model: expected one of bag, rnn", "received huge"]),
    ([*NEW, "--model=huge", "--vocabulary=tiny/vocab.txt"], 2, ["--model: expected one of bag, rnn", "received huge"]),
    ([*NEW, "--model=tiny", "--vocabulary=none.txt"], 2, ["--vocabulary none.txt: no such file"]),
    ([*NEW, "--model=tiny", "--vocabulary=labels.txt"], 2, ["expected a vocabulary with [PAD]"]),
    (["trainer", "finetune", "classification", *TUNE[3:], "--train=same.txt", "--lines=labelled"], 2, ["same.txt: expected two or more different labels, found 'good' in all 2 rows"]),
    (["trainer", "finetune", "classification", *TUNE[3:], "--train=same.txt"], 2, ["same.txt:1: expected a label before the text", "--lines labelled"]),
    ([*TUNE, "--epoch=3"], 2, ["--epoch=3"]),
    ([*TUNE, "--epochs=two"], 2, ["--epochs: expected a whole number, received two"]),
    ([*TUNE, "--epochs=0"], 2, ["--epochs: expected more than 0, received 0"]),
    ([*TUNE, "--batch_size=-1"], 2, ["--batch_size: expected more than 0, received -1"]),
    ([*TUNE, "--accumulate=0"], 2, ["--accumulate: expected more than 0, received 0"]),
    ([*TUNE, "--limit=x"], 2, ["--limit: expected a whole number, received x"]),
    ([*TUNE, "--limit=0"], 2, ["--limit: expected more than 0, received 0"]),
    ([*TUNE, "--max_length=2"], 2, ["--max_length: expected 3 or more, received 2"]),
    ([*TUNE, "--max_length=99"], 2, ["--max_length 99", "64 positions"]),
    ([*TUNE, "--warmup=2"], 2, ["--warmup: expected a share from 0 to 1, received 2"]),
    ([*TUNE, "--learning_rate=nan"], 2, ["--learning_rate: expected a number, received nan"]),
    ([*TUNE, "--weight_decay=-1"], 2, ["--weight_decay: expected 0 or more, received -1"]),
    ([*TUNE, "--weight_decay=nan"], 2, ["--weight_decay: expected a number, received nan"]),
    ([*TUNE, "--dropout=1"], 2, ["--dropout: expected a rate from 0, below 1, received 1"]),
    ([*TUNE, "--epsilon=0"], 2, ["--epsilon: expected more than 0, received 0"]),
    ([*TUNE, "--seed=-1"], 2, ["--seed: expected 0 to 4294967295, received -1"]),
    ([*TUNE, "--freeze=top"], 2, ["--freeze: expected embeddings or a number of layers, received top"]),
    ([*TUNE, "--freeze=2"], 2, ["--freeze: expected embeddings, or 1 to 1 layers", "received 2"]),
    ([*TUNE, "--layer_decay=1.5"], 2, ["--layer_decay: expected more than 0, 1 at most, received 1.5"]),
    ([*TUNE, "--patience=2"], 2, ["--patience: expected --dev", "received none"]),
    ([*TUNE, "--keep=best"], 2, ["--keep best: expected --dev", "received none"]),
    ([*TUNE, "--keep=first"], 2, ["--keep: expected last or best, received first"]),
    ([*TUNE, "--schedule=step"], 2, ["--schedule: expected linear, cosine, inverse_square_root or constant, received step"]),
    ([*TUNE, "--optimizer=lamb"], 2, ["--optimizer: expected adamw or sgd, received lamb"]),
    ([*TUNE, "--clip_norm=-1"], 2, ["--clip_norm: expected 0 or more, received -1"]),
    ([*TUNE, "--checkpoint_every=-1"], 2, ["--checkpoint_every: expected 0 seconds or more, received -1"]),
    ([*TUNE, "--labels", "good"], 2, ["--labels: expected two or more different names", "good"]),
    ([*TUNE, "--labels", "labels.txt"], 2, ["labels.txt", "expected two or more different names", "bad, good, bad"]),
    ([*TUNE, "--labels", "one.txt"], 2, ["one.txt", "expected two or more different names", "good"]),
    ([*TUNE, "--labels", "yes", "no", "--dev=broken.jsonl"], 2, ["broken.jsonl:1", "expected a label of yes"]),
    ([*TUNE, "--column=3"], 2, ["--column: expected for treebanks (tagging), received for sentiment"]),
    ([*TAG, "--column=tags"], 2, ["--column: expected upos, xpos or a number from 2, received tags"]),
    ([*TAG, "--column=2"], 2, ["--column: expected, of tree.conllu (CoNLL-U: upos or xpos), received 2"]),
    ([*TAG, "--labels", "A", "B"], 2, ["--labels: the labels of tagging are those of its training data"]),
    ([*TAG, "--train=empty.txt"], 2, ["empty.txt: expected rows of words, tags, found none"]),
    ([*TAG, "--train=short.conllu"], 2, ["short.conllu:2: expected 10 columns of CoNLL-U, found 2"]),
    ([*TAG, "--dev=one.txt"], 2, ["one.txt:1: expected a word and its tag in columns, found 'good'"]),
    ([*TAG, "--train=same_tag.txt"], 2, ["same_tag.txt: expected two or more tags, none of them '_', found X"]),
    (["trainer", "finetune", "classification", *TUNE[3:], "--train=pairs.tsv", "--dev=train.txt"], 2, ["train.txt:1: expected columns by name", "text, text_b, label"]),
    ([*INFER, "--max_length=4"], 2, ["--max_length: expected 5 or more, received 4"]),
    ([*INFER, "--train=train.txt"], 2, ["train.txt:1: expected columns by name", "premise, hypothesis, label"]),
    ([*INFER, "--train=train.txt", "--doc_stride=64"], 2, ["--doc_stride: expected for qa, received for nli"]),
    ([*TUNE, "--max_answer_length=9"], 2, ["--max_answer_length: expected for qa, received for sentiment"]),
    ([*TUNE, "--unanswerable=0.5"], 2, ["--unanswerable: expected for qa, received for sentiment"]),
    ([*INFER, "--train=no_labels.jsonl"], 2, ["found none; without a gold label (- or -1) and left out: 1"]),
    ([*FIND, "--train=lost.json"], 2, ["lost.json: expected questions whose answers stand in their contexts, found none of 1"]),
    ([*FIND, "--unanswerable=2"], 2, ["--unanswerable: expected a share above 0, 1 at most, received 2"]),
    ([*FIND, "--doc_stride=13"], 2, ["--doc_stride: expected 12 at most in windows of 16, received 13"]),
    ([*FIND, "--max_answer_length=100"], 2, ["--max_answer_length: expected 12 at most in windows of 16, received 100"]),
    ([*FIND, "--doc_stride=0"], 2, ["--doc_stride: expected more than 0, received 0"]),
    ([*FIND, "--labels", "a", "b"], 2, ["--labels: expected for tasks that have labels, received for qa"]),
    ([*FIND, "--column=2"], 2, ["--column: expected for treebanks (tagging), received for qa"]),
    ([*FIND, "--train=train.txt"], 2, ["train.txt: expected SQuAD JSON, or JSON lines with question, context, answers"]),
    ([*FIND, "--train=no_context.json"], 2, ["no_context.json:1: expected context, found question, answers"]),
    ([*FIND, "--dev=empty.txt"], 2, ["empty.txt: expected rows of question, context, answers, found none"]),
    ([*FIND, "--dev_limit=3"], 2, ["--dev_limit: expected --dev to score on, received none"]),
    ([*TUNE, "--train=plain.gz"], 2, ["plain.gz: expected a file packed by gzip"]),
    ([*TUNE, "--train=none.txt"], 2, ["none.txt", "no such file", "sst2"]),
    ([*TUNE, "--train=filled"], 2, ["filled", "no such file"]),
    ([*TUNE, "--train=empty.txt"], 2, ["empty.txt", "expected rows", "found none"]),
    ([*TUNE, "--train=blank.txt"], 2, ["blank.txt:2", "expected a row, found an empty line"]),
    ([*TUNE, "--train=latin.txt"], 2, ["latin.txt:2", "expected UTF-8, found byte 0xe9"]),
    ([*TUNE, "--train=columns.tsv"], 2, ["columns.tsv:3", "expected 2 columns (sentence, label), found 3"]),
    ([*TUNE, "--train=other.tsv"], 2, ["other.tsv:1", "expected", "text, label"]),
    ([*TUNE, "--train=words.txt"], 2, ["words.txt:2", "expected `label sentence`", "'bad'"]),
    ([*TUNE, "--train=broken.jsonl"], 2, ["broken.jsonl:2", "expected a JSON object"]),
    ([*TUNE, "--train=field.jsonl"], 2, ["field.jsonl:2", "expected the fields text, label, found phrase, label"]),
    ([*TUNE, "--train=number.jsonl"], 2, ["number.jsonl:1", "expected text to be a string, found '7'"]),
    ([*TUNE, "--train=list.jsonl"], 2, ["list.jsonl:1", "expected a JSON object"]),
    ([*TUNE, "--dev=strange.txt"], 2, ["strange.txt:2", "expected a label of negative (or 0)", "found '7'"]),
    ([*TUNE, "--init=nowhere/at/all"], 2, ["nowhere/at/all", "no such folder"]),
    ([*TUNE, "--init=nothing"], 2, ["config.json: not found", "found nothing"]),
    ([*TUNE, "--init=filled"], 2, ["config.json: not found", "bert_config.json", "found mine"]),
    ([*TUNE, "--init=google"], 2, ["bert_model.ckpt.index: not found"]),
    ([*TUNE, "--init=gpt"], 2, ["model_type is 'roberta', expected 'bert'"]),
    ([*TUNE, "--init=broken_config"], 2, ["config.json: expected JSON"]),
    ([*TUNE, "--init=large"], 2, ["has 62 pieces", "vocab_size 50"]),
    ([*TUNE, "--init=no_vocab"], 2, ["vocab.txt: cannot be read (No such file"]),
    ([*TUNE, "--init=plain_vocab"], 2, ["expected a vocabulary with [PAD] [UNK] [CLS] [SEP]", "2 pieces"]),
    ([*TUNE, "--init=twice"], 2, ["vocab.txt:60", "stands already in line 20"]),
    ([*TUNE, "--init=no_weights"], 2, ["model.safetensors: not found"]),
    ([*TUNE, "--init=pointer"], 2, ["expected the weights in safetensors form"]),
    ([*TUNE, "--init=wide"], 2, ["has shape [60, 32], expected [60, 64]"]),
    ([*TUNE, "--out=filled"], 2, ["filled exists and is no run folder"]),
    ([*TUNE, "--out=filled", "--overwrite"], 2, ["filled exists and is no run folder"]),
    ([*TUNE, "--out=.", "--overwrite"], 2, [". holds", "which this run reads"]),
    ([*TUNE, "--out=train.txt"], 2, ["train.txt", "give another --out"]),
    ([*TUNE, "--out=tiny", "--overwrite"], 2, ["which this run reads"]),
    ([*TUNE, "--out=/proc/none"], 2, ["/proc/none: cannot be made"]),
    ([*TUNE, "--out=run"], 2, ["holds a run with --train", "not train.txt"]),
    ([*TUNE, "--config=none.yaml"], 2, ["none.yaml"]),
    ([*TUNE, "--config=bad.yaml"], 2, ["bad.yaml:2: expected YAML"]),
    ([*TUNE, "--config=unknown.yaml"], 2, ["epoch"]),
    ([*TUNE, "--config=list.yaml"], 2, ["list.yaml: expected YAML with `option: value` lines, found list"]),
    ([*TUNE, "--config=maybe.yaml"], 2, ["maybe.yaml: overwrite: expected true or false, received 'false'"]),
    ([*TUNE, "--config=no.yaml"], 2, ["no.yaml: labels: expected a list of names", "received [False, True]"]),
    ([*TUNE, "--config", "many.yaml"], 2, ["--epochs: expected a whole number, received many"]),
    (["trainer", "evaluate", "run"], 2, ["--data"]),
    (["trainer", "evaluate", "run", "--data=none"], 2, ["none: no such file"]),
    (["trainer", "evaluate", "run", "--data=words.txt"], 2, ["words.txt:2"]),
    (["trainer", "evaluate", "nothing", "--data=train.txt"], 2, ["nothing: expected a finished run", "found no run"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--null_threshold=0.5"], 2, ["--null_threshold: expected for qa, received for run, a run of sentiment"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--null_threshold=-1.9"], 2, ["--null_threshold"]),
    (["trainer", "predict", "run", "--text=a", "--temperature=0.5"], 2, ["--temperature: expected for text_generation, received for sentiment"]),
    (["trainer", "predict", "run", "--text=a", "--top_k=1"], 2, ["--top_k: expected for text_generation or fill_mask, received for sentiment"]),
    (["trainer", "predict", "nano", "--text=a [mask]"], 2, ["expected a text with [MASK], received none in 'a [mask]'"]),
    (["trainer", "predict", "nano", "--input=masks.jsonl"], 2, ["masks.jsonl:2: expected a text with [MASK], received none in 'b'"]),
    (["trainer", "predict", "tiny", "--text=[MASK]"], 2, ["tiny: expected a run, or weights with BERT's head of masked words, found none of masked_dense, masked_norm, masked_bias"]),
    (["trainer", "predict", "run", "--text=a", "--signature=nbest", "--null_threshold=0.5"], 2, ["--null_threshold: expected without --signature"]),
    ([*TUNE, "--beams=3"], 2, ["--beams: expected for translation, received for sentiment"]),
    ([*TUNE, "--label_smoothing=0.2"], 2, ["--label_smoothing: expected for translation, received for sentiment"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--beams=1000"], 2, ["--beams: expected 1 to 100, received 1000"]),
    (["trainer", "predict", "run", "--text=a", "--length_penalty=0.5"], 2, ["--length_penalty: expected for translation, received for run, a run of sentiment"]),
    (["trainer", "predict", "run", "--text=a", "--plot=a.png"], 2, ["--plot: expected for translation, received for run, a run of sentiment"]),
    (["trainer", "predict", "run", "--text=a", "--plot=a.txt"], 2, ["--plot: expected a file whose name ends in .png, received a.txt"]),
    (["serving.export", "run", "--to=exports", "--beams=3"], 2, ["--beams: expected for translation, received for run, a run of sentiment"]),
    (["trainer", "evaluate", "none.json", "--data=questions.json"], 2, ["none.json: cannot be read"]),
    (["trainer", "evaluate", "answers.json", "--data=questions.json"], 2, ["answers.json: expected answers by id, as of 0a, found none to any of the 8 questions"]),
    (["trainer", "evaluate", "list.jsonl", "--data=questions.json"], 2, ["list.jsonl: expected a finished run"]),
    (["trainer", "evaluate", "answers.json", "--data=questions.json", "--report"], 2, ["expected --data and --limit beside a file of answers (answers.json)"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--against=tagged"], 2, ["--against tagged: expected a run of the task of run, sentiment; received tagging"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--against=nothing"], 2, ["nothing: expected a finished run"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--errors=train.txt"], 2, ["--errors train.txt: expected another file than --data train.txt"]),
    (["trainer", "evaluate", "answers.json", "--data=questions.json", "--column=2"], 2, ["expected --data and --limit beside a file of answers (answers.json)"]),
    (["trainer", "predict", "run", "--question=a"], 2, ["this run answers --text; received --question"]),
    (["trainer", "predict", "run", "--text=a", "--signature=nbest"], 2, ["--signature: expected none for sentiment, received nbest"]),
    (["trainer", "predict", "run"], 2, ["expected either the fields of one row (--text, ...) or --input"]),
    (["trainer", "predict", "run", "--text=a", "--input=train.txt"], 2, ["expected either the fields of one row (--text, ...) or --input"]),
    (["trainer", "predict", "run", "--words=a"], 2, ["this run answers --text; received --words"]),
    (["trainer", "predict", "run", "--text=a", "--text_b=b"], 2, ["this run answers --text; received --text and --text_b"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--output=none/x"], 2, ["--output none/x: expected a file in a folder that is there"]),
    (["trainer", "predict", "run", "--text=a", "--batch_size=0"], 2, ["--batch_size: expected more than 0"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--output=train.txt"], 2, ["--output train.txt: expected another file than --data train.txt"]),
    (["trainer", "evaluate", "run", "--data=train.txt", "--output=run/labels.txt"], 2, ["--output run/labels.txt: expected another file than the run run"]),
    (["trainer", "evaluate", "tagged", "--data=tree.conllu", "--column=xpos"], 2, ["expected tags that this run knows (ADJ, ", "--column"]),
    (["trainer", "predict", "run", "--input=train.txt"], 2, ["train.txt: expected texts, found a label before every one", "--lines labelled"]),
    (["trainer", "predict", "run", "--input=train.txt", "--lines=both"], 2, ["--lines: expected labelled or texts, received both"]),
    (["trainer", "predict", "run", "--text=a\udcff"], 2, ["--text: expected text in UTF-8, received 'a\\udcff'"]),
    (["trainer", "predict", "tiny", "--text=a"], 2, ["tiny: expected a run, or weights with BERT's head of masked words"]),
    (["trainer", "predict", "unlabelled", "--text=a"], 2, ["config.json: expected id2label"]),
    (["trainer", "predict", "foreign", "--text=a"], 2, ["config.json: expected what a run of this version writes, found nothing of task, max_length, options"]),
    (["trainer", "predict", "unfinished", "--text=a"], 2, ["expected a finished run", "found an unfinished run"]),
    (["trainer", "predict", "relabelled", "--text=a"], 2, ["labels.txt", "expected negative, positive", "found negative"]),
    (["trainer", "predict", "run", "--input=latin.txt"], 2, ["latin.txt:2", "expected UTF-8"]),
    (["trainer", "launch", "--workers=2", "--", "evaluate", "run"], 2, ["expected finetune or pretrain", "received evaluate"]),
    (["trainer", "compare"], 2, ["required: TASK_OR_RUNS"]),
    (["trainer", "compare", "sentiment"], 2, ["--models: expected names of what to train on sentiment, received none"]),
    (["trainer", "compare", "run", "--models=tiny"], 2, ["expected --models with a task, one of sentiment", "received run"]),
    (["trainer", "compare", "sentiment", "--models=tiny", "--train=train.txt", "--out=out"], 2, ["--dev: expected with --models, received none"]),
    ([*COMPARE, "--models=tiny,,tiny"], 2, ["--models: expected different names with commas between, received tiny,,tiny"]),
    ([*COMPARE, "--models=tiny,large/../tiny"], 2, ["--models: expected names whose last parts differ"]),
    ([*COMPARE, "--models=huge", "--options", "vocabulary=tiny/vocab.txt"], 2, ["--model: expected one of bag, rnn", "received huge"]),
    ([*COMPARE, "--models=none.yaml"], 2, ["--recipe: expected one of ", "received none.yaml"]),
    ([*COMPARE, "--seeds=0"], 2, ["--seeds: expected more than 0, received 0"]),
    ([*COMPARE, "--train=none.txt"], 2, ["none.txt: no such file"]),
    ([*COMPARE, "--out=train.txt"], 2, ["--out train.txt: cannot be made"]),
    ([*COMPARE, "--options", "epochs"], 2, ["--options: expected NAME=VALUE, or MODEL:NAME=VALUE, received epochs"]),
    ([*COMPARE, "--options", "epoch=3"], 2, ["--options: expected options of finetune, received epoch=3"]),
    ([*COMPARE, "--options", "mini:epochs=3"], 2, ["--options: expected one of tiny before the colon, received mini:epochs=3"]),
    ([*COMPARE, "--options", "seed=3"], 2, ["--options: seed is not for single runs of a comparison, received seed=3"]),
    ([*COMPARE, "--options", "epochs=two"], 2, ["--epochs: expected a whole number, received two"]),
    ([*COMPARE, "--options", "warmup=2"], 2, ["tiny: --warmup: expected a share from 0 to 1, received 2.0"]),
    (["trainer", "compare", "run"], 2, ["--out: expected a folder for compare.json, compare.md, compare.png, received none"]),
    (["trainer", "compare", "run", "--seeds=2", "--out=out"], 2, ["--seeds: expected with --models, received for runs that exist"]),
    (["trainer", "compare", "run", "tagged", "--out=out"], 2, ["tagged: expected a run of sentiment, as run is, found one of tagging"]),
    (["trainer", "recipes", "none"], 2, ["--recipe: expected one of"]),
    ([*TUNE, "--recipe=none"], 2, ["--recipe: expected one of"]),
    ([*TAG, "--recipe=sentiment-minilm"], 2, ["--recipe sentiment-minilm: a recipe for sentiment, received for tagging"]),
    (["trainer", "datasets", "sst3"], 2, ["sst3", "sst2"]),
    (["trainer", "datasets", "sst2:none"], 2, ["sst2: expected one of its parts (train, dev, test, phrases), received none"]),
    ([*TAG, "--train=sst2"], 2, ["sst2: a data set for sentiment or classification, received for tagging"]),
    ([*TUNE, "--train=sst3"], 2, ["sst3: no such file, and no data set of that name (known: sst2, "]),
    ([*TUNE, "--dev=tfds:"], 2, ["tfds:: expected tfds:NAME, hf:NAME, or NAME:SPLIT"]),
    (["trainer", "weights", "nowhere/at/all"], 2, ["nowhere/at/all: no such folder", "received nowhere/at/all"]),
    (["trainer", "export_hf", "tiny", "--to=new"], 2, ["tiny: expected a finished run"]),
    (["trainer", "export_hf", "run", "--to=filled"], 2, ["filled: expected a folder that is not there yet or empty"]),
    (["trainer", "export_hf", "run"], 2, ["--to"]),
    (["trainer", "convert", "tiny"], 2, ["--to"]),
    (["trainer", "convert", "nothing", "--to=new"], 2, ["config.json: not found"]),
    (["trainer", "convert", "tiny", "--to=filled"], 2, ["filled", "not there yet or empty"]),
    (["trainer", "convert", "tiny", "--to=/proc/none/x"], 2, ["/proc/none/x: cannot be made"]),
    (["trainer", "convert", "tiny", "--to=train.txt/x"], 2, ["train.txt/x: cannot be made"]),
    (["trainer", "convert", "google", "--to=new"], 2, ["bert_model.ckpt.index: not found"]),
    (["trainer", "convert", "no_vocab", "--to=new"], 2, ["vocab.txt: cannot be read (No such file"]),
    (["serving.export", "run"], 2, ["--to"]),
    (["serving.export", "run", "--to=new", "--as=x"], 2, ["--as=x"]),
    (["serving.export", "nothing", "--to=new"], 2, ["nothing: expected a finished run"]),
    (["serving.export", "run", "--to=train.txt"], 2, ["train.txt: cannot be written"]),
    ([*SERVE], 2, ["expected --model_base_path or --model_config_file"]),
    ([*SERVE, "--model_base_path=nowhere"], 2, ["No versions of servable sentiment found under base path nowhere"]),
    ([*SERVE, "--model_base_path=filled"], 2, ["No versions of servable sentiment found under base path filled"]),
    ([*SERVE, "--model_base_path=export", "--port=many"], 2, ["--port", "many"]),
    ([*SERVE, "--model_base_path=export", "--port=99999"], 2, ["--port: expected 1 to 65535, received 99999"]),
    ([*SERVE, "--model_base_path=export", "--port=USED"], 2, ["--port", "Address already in use"]),
    ([*SERVE, "--model_base_path=export", "--models=x"], 2, ["--models=x"]),
    ([*SERVE, "--model_base_path=export", "--ssl_config_file=x"], 2, ["--ssl_config_file: x: cannot be read (No such file or directory)"]),
    ([*SERVE, "--model_config_file=none"], 2, ["none: cannot be read"]),
    ([*SERVE, "--model_config_file=garbage.config"], 2, ["garbage.config: Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"]),
    ([*SERVE, "--model_config_file=empty.config"], 2, ["empty.config: expected model_config_list", "found none"]),
    ([*SERVE, "--model_config_file=field.config"], 2, ["field.config", 'no field named "nam"']),
    ([*SERVE, "--model_config_file=twice.config"], 2, ["Illegal to list model a multiple times"]),
    ([*SERVE, "--model_config_file=unnamed.config"], 2, ["expected a name and a base_path"]),
    (["serving.client"], 2, ["TASK"]),
    (["serving.client", "sentiments", "--text=a"], 2, ["sentiments"]),
    ([*ASK], 2, ["expected --text, or --input"]),
    (["serving.client", "tagging", "--words", "a", ""], 2, ["expected a list of words without empty ones, received ['a', '']"]),
    (["serving.client", "tagging"], 2, ["expected --text, or --words, or --input"]),
    (["serving.client", "tagging", "--input=words.jsonl"], 2, ["words.jsonl:1: expected words to be a list of strings"]),
    ([*ASK, "--input=train.txt"], 2, ["train.txt: expected texts, found a label before every one"]),
    ([*ASK, "--input=labels.txt", "--output=labels.txt"], 2, ["--output labels.txt: expected another file than --input labels.txt"]),
    ([*ASK, "--input=labels.txt", "--output=nothing"], 2, ["--output nothing: expected a file, found a folder"]),
    (["serving.client", "nli", "--premise=b"], 2, ["expected --premise --hypothesis, or --input FILE"]),
    (["serving.client", "qa", "--question=b"], 2, ["expected --question --context, or --input FILE"]),
    (["serving.client", "qa", "--question=b", "--context=c", "--signature=words"], 2, ["--signature", "words"]),
    ([*ASK, "--text=b", "--signature=nbest"], 2, ["--signature=nbest"]),
    (["serving.client", "classification", "--text_b=b"], 2, ["expected --text, or --text --text_b, or --input"]),
    (["serving.client", "text_generation", "--text=a", "--temperature=-1"], 2, ["--temperature: expected a number, 0 or more, 1000 at most, received -1"]),
    (["serving.client", "fill_mask", "--text", "a [MASK]", "b"], 2, ["expected a text with [MASK], received none in 'b'"]),
    (["serving.client", "fill_mask", f"--text={'[MASK]' * 33}"], 2, ["expected [MASK] 32 times at most, received 33 in '[MASK]"]),
    (["serving.client", "fill_mask", "--text=[MASK]", "--top_k=0"], 2, ["--top_k: expected a whole number, 1 or more, 100 at most, received 0"]),
    (["serving.client", "text_generation", "--text=a", "--top_p=all"], 2, ["--top_p: expected a number, above 0, 1 at most, received all"]),
    (["serving.client", "text_generation", "--input=drawn.jsonl"], 2, ["drawn.jsonl: max_new_units: expected a whole number, 1 or more, 4096 at most, received 0"]),
    ([*ASK, "--texts=a"], 2, ["--texts=a"]),
    ([*ASK, "--text=a", "--server=here"], 2, ["--server: expected host:port, received here"]),
    ([*ASK, "--text=a", "--batch_size=0"], 2, ["--batch_size: expected more than 0, received 0"]),
    ([*ASK, "--input=none.jsonl"], 2, ["none.jsonl: cannot be read"]),
    ([*ASK, "--input=field.jsonl"], 2, ["field.jsonl:2", "expected the fields text"]),
    ([*ASK, "--text=a", f"--server={UNUSED}"], 1, ["localhost:1: UNAVAILABLE"]),
]  # fmt: skip


def one_line(status, out, err, expected_status, words):
    assert (status, out) == (expected_status, ""), (status, out, err)
    assert err.endswith("\n") and err.count("\n") == 1 and "Traceback" not in err, err
    for word in words:
        assert word in err, (word, err)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: " ".join(case[0][:2] + case[0][-1:]))
def test_one_line(case, mistakes_folder, monkeypatch, capsys):
    (command, *arguments), status, words = case
    monkeypatch.chdir(mistakes_folder)
    with socket.socket() as used:
        used.bind(("", 0))
        used.listen()
        arguments = [argument.replace("USED", str(used.getsockname()[1])) for argument in arguments]
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            MAINS[command](arguments)
            code = 0
        except SystemExit as stop:
            code = stop.code
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    one_line(code, *capsys.readouterr(), status, words)
    assert (
        (mistakes_folder / "filled" / "mine").exists()
        and not (mistakes_folder / "out").exists()
        and not (mistakes_folder / "new").exists()
    )


def test_out_of_memory_says_what_to_do():
    import tensorflow as tf

    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        tf.zeros([1 << 44])
    for error in (caught.value, MemoryError()):
        assert defect(error).startswith("out of memory; a smaller --batch_size needs less")


def test_there_are_enough():
    commands = {" ".join(row[0][: 2 if row[0][0] == "trainer" else 1]) for row in TABLE}
    assert len(TABLE) >= 40
    assert commands >= {f"trainer {name}" for name in trainer.COMMANDS} | set(MAINS) - {"trainer"}


@pytest.mark.parametrize("last", ["--init=google", "--text=a", "--port=USED", f"--server={UNUSED}"])
def test_one_line_of_a_process(last, mistakes_folder):
    """The native code of a real process adds no line."""
    (command, *arguments), status, words = next(case for case in TABLE if case[0][-1] == last)
    with socket.socket() as used:
        used.bind(("", 0))
        used.listen()
        arguments = [argument.replace("USED", str(used.getsockname()[1])) for argument in arguments]
        process = subprocess.run(
            [sys.executable, "-m", command, *arguments], cwd=mistakes_folder, env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    one_line(process.returncode, process.stdout, process.stderr, status, words)


def test_our_own_defects_are_one_line_too(capsys, monkeypatch):
    def defect():
        raise KeyError("no such\nthing")

    monkeypatch.setattr("trainer.data.datasets.known", defect)
    with pytest.raises(SystemExit) as stop:
        trainer.main(["datasets"])
    one_line(stop.value.code, *capsys.readouterr(), 1, ["a defect of this program", "KeyError", "LINEAGE_TRACEBACK"])
    monkeypatch.setenv("LINEAGE_TRACEBACK", "1")
    with pytest.raises(KeyError):
        trainer.main(["datasets"])
