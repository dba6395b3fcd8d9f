"""Fine-tuning, evaluation and prediction: the functions behind `python -m trainer`."""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models import weights
from trainer import Mistake, data, features, optim, runs, sources
from trainer.heads import HEADS
from trainer.metrics import METRICS
from trainer.progress import Progress, say
from trainer.tasks import TASKS, answers

LOG_EVERY = 10  # steps between lines of metrics.jsonl


def finetune(
    task, *, train, dev, init, out, epochs, batch_size, learning_rate, warmup, weight_decay, max_length, seed, labels,
    limit, overwrite,
):  # fmt: skip
    """Fine-tunes pretrained weights; returns the result that metrics.json holds. Options: `trainer.__main__.finetune`."""
    options = {name: value for name, value in locals().items() if name not in ("out", "overwrite")}
    name, task = task, TASKS[task]
    labels = labels or list(task.labels)
    train, dev = sources.data(train, "train"), sources.data(dev, "dev") if dev else None
    init = sources.weights(init)
    train_rows = data.read(train, task, labels, limit=limit)
    dev_rows = data.read(dev, task, labels) if dev else []
    config, tokenizer = runs.read_init(init)
    if max_length > config["max_position_embeddings"]:
        raise Mistake(
            f"--max_length {max_length} is more than the {config['max_position_embeddings']} positions of {init}"
        )
    out, head, began = Path(out), HEADS[task.head], time.monotonic()
    finished = runs.finished(out, options, [init, train, *([dev] if dev else [])], overwrite=overwrite)
    if finished:
        say(f"{out} holds this run, finished; here is its result (--overwrite trains anew)")
        return finished

    keras.utils.set_random_seed(seed)
    model = runs.build_model(config, task, labels, seed=seed)
    unused = runs.load_weights(model, Path(init) / "model.safetensors", ignore=head.layers)
    train_set = Examples(train_rows, task, labels, tokenizer, max_length)
    dev_set = Examples(dev_rows, task, labels, tokenizer, max_length) if dev else None
    steps = epochs * -(-len(train_rows) // batch_size)
    optimizer = optim.optimizer(
        model.trainable_variables,
        learning_rate=learning_rate,
        warmup=round(warmup * steps),
        total=steps,
        weight_decay=weight_decay,
    )
    config = runs.config_of_run(config, name, labels, options, max_length)
    runs.start(out, config, tokenizer)
    say(f"task      {name}: {', '.join(f'{i} {label}' for i, label in enumerate(labels))}")
    say(f"weights   {init}; new: {', '.join(head.layers)}; in the file but not used: {', '.join(unused) or 'none'}")
    say(f"train     {train}: {train_set}")
    say(f"dev       {dev}: {dev_set}" if dev else "dev       none: no scores")
    say(
        f"text      {'lower-cased, without accents' if tokenizer.lower_case else 'cased'}; {len(tokenizer.vocabulary):,} pieces"
    )
    say(f"model     {model.count_params():,} parameters; {optim.describe(model.trainable_variables)}")
    say(
        f"steps     {steps} in {epochs} epochs of batches of {batch_size}; learning rate {learning_rate:g} after "
        f"{round(warmup * steps)} steps, then linearly to 0; clipped at norm 1; seed {seed}"
    )
    say(f"device    {device()}")

    writer = tf.summary.create_file_writer(str(out / "tensorboard"))
    train_step = training_step(model, head, optimizer)
    dev_step = evaluation_step(model, head, labels)
    progress = Progress(steps, batch_size)
    scores, step, losses = [], 0, []
    with open(out / "metrics.jsonl", "w", encoding="utf-8") as log, writer.as_default():
        for epoch in range(1, epochs + 1):
            epoch_began = time.monotonic()
            plan = features.plan_training(train_set.lengths, batch_size, seed=seed, epoch=epoch)
            for inputs, targets, rows in train_set.batches(plan):
                loss = float(train_step(inputs, targets))
                if not np.isfinite(loss):
                    raise Mistake(
                        f"the loss became {loss} at step {step + 1}; try a smaller --learning_rate than {learning_rate:g}"
                    )
                losses.append(loss)
                step += 1
                progress.step(step, len(rows), loss)
                if step % LOG_EVERY == 0 or step == steps:
                    rate = float(optimizer.learning_rate)
                    line = {"step": step, "epoch": epoch, "loss": float(np.mean(losses)), "learning_rate": rate}
                    print(json.dumps(line), file=log, flush=True)
                    tf.summary.scalar("train/loss", line["loss"], step)
                    tf.summary.scalar("train/learning_rate", rate, step)
                    losses = []
            seconds = time.monotonic() - epoch_began
            score = {"epoch": epoch, "step": step, "seconds": round(seconds, 1)}
            if dev_set:
                progress.note(f"epoch {epoch}: scoring {len(dev_rows)} dev examples ...")
                score |= score_examples(dev_step, task, dev_set, batch_size)
                print(json.dumps({"dev": score}), file=log, flush=True)
                for key in (task.metric, "loss"):
                    tf.summary.scalar(f"dev/{key}", score[key], step)
            scores.append(score)
            dev_line = f"dev {task.metric} {score[task.metric]:.4f}, loss {score['loss']:.4f}; " if dev_set else ""
            progress.note(
                f"epoch {epoch}/{epochs}: {dev_line}{seconds:.0f} s, {len(train_rows) / seconds:.0f} examples/s"
            )
    best = max(scores, key=lambda score: (score[task.metric], -score["epoch"])) if dev_set else None
    if dev_set:
        say(f"final     dev {task.metric} {scores[-1][task.metric]:.4f} (epoch {epochs}; the weights that are kept)")
        say(f"best      dev {task.metric} {best[task.metric]:.4f} (epoch {best['epoch']})")
    runs.write(out / "model.safetensors", weights.to_bytes(model))
    result = {
        "task": name,
        "model": "bert",
        "seed": seed,
        "steps": steps,
        "final": scores[-1],
        "best": best,
        "seconds": round(time.monotonic() - began, 1),
        "parameters": model.count_params(),
    }
    runs.write_json(out / "metrics.json", result)
    return result


def evaluate(run, *, data_file, batch_size):
    """Scores a run on a labelled file; returns the metrics."""
    run = runs.Run(run)
    path = sources.data(data_file, "dev")
    examples = Examples(data.read(path, run.task, run.labels), run.task, run.labels, run.tokenizer, run.max_length)
    say(f"data      {path}: {examples}")
    began = time.monotonic()
    score = score_examples(evaluation_step(run.model, run.head, run.labels), run.task, examples, batch_size)
    return {"task": run.task_name, "data": str(path), **score, "seconds": round(time.monotonic() - began, 1)}


def predict(run, rows, *, batch_size):
    """Answers rows (dicts with the task's fields) in order; yields one dict a row, of the same keys as the client's."""
    answer = run.answer_function()
    for i in range(0, len(rows), batch_size):
        part = rows[i : i + batch_size]
        outputs = answer(tf.constant([row[run.task.fields[0]] for row in part]))
        yield from answers(run.task, part, {name: value.numpy() for name, value in outputs.items()})


class Examples:
    """Rows tokenised once, by the exported model's own function, and held in memory."""

    def __init__(self, rows, task, labels, tokenizer, max_length):
        self.golds = [row[task.target] for row in rows]
        self.targets = tf.constant(HEADS[task.head].targets(self.golds, labels), tf.int32)
        self.tokenizer, self.max_length = tokenizer, max_length
        self.ids = features.tokenize([row[task.fields[0]] for row in rows], tokenizer)
        pieces = self.ids.row_lengths().numpy() + 2  # [CLS] and [SEP]
        self.lengths = np.minimum(pieces, max_length)
        self.truncated = int(np.sum(pieces > max_length))

    def batches(self, plan):
        return features.batches(self.ids, self.targets, plan, self.tokenizer, self.max_length)

    def __str__(self):
        return (
            f"{len(self.golds):,} examples, {self.lengths.mean():.1f} pieces on average, {self.lengths.max()} at most; "
            f"{self.truncated} cut at {self.max_length}"
        )


def training_step(model, head, optimizer):
    """Returns a compiled function (inputs, targets) -> loss that makes one step of the optimiser."""

    @tf.function(input_signature=features.BATCH_SIGNATURE, autograph=False)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            loss = head.loss(targets, model(inputs, training=True))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return step


def evaluation_step(model, head, labels):
    """Returns a compiled function (inputs, targets) -> (label of each row, mean loss), dropout off."""

    @tf.function(input_signature=features.BATCH_SIGNATURE, autograph=False)
    def step(inputs, targets):
        logits = model(inputs, training=False)
        return head.decode(logits, labels)["label"], head.loss(targets, logits)

    return step


def score_examples(step, task, examples, batch_size):
    """Returns {metric, loss, examples} over all rows; `step` is an `evaluation_step`."""
    predicted, loss = np.empty(len(examples.golds), object), 0.0
    for inputs, targets, rows in examples.batches(features.plan_evaluation(examples.lengths, batch_size)):
        names, mean = step(inputs, targets)
        predicted[rows.numpy()] = [name.decode("utf-8") for name in names.numpy()]
        loss += float(mean) * len(rows)
    score = METRICS[task.metric](examples.golds, predicted)
    return {task.metric: round(score, 6), "loss": round(loss / len(predicted), 6), "examples": len(predicted)}


def device():
    gpus = tf.config.list_physical_devices("GPU")
    return ", ".join(gpu.name for gpu in gpus) or f"CPU, TensorFlow {tf.__version__}, Keras {keras.__version__}"


def print_result(result):
    """A result is JSON on standard output; everything else goes to standard error."""
    print(json.dumps(result, ensure_ascii=False), flush=True, file=sys.stdout)
