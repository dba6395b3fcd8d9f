"""`python -m trainer finetune TASK`: from a file of rows to a run folder."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from trainer.architectures import table
from trainer.data import classes, datasets, files, squad
from trainer.errors import Mistake
from trainer.options import Finetune, default, of_result
from trainer.progress import say
from trainer.runs.folder import Folder
from trainer.runs.run import build_model, config_of_run, load_weights, new_config, read_init
from trainer.tasks.kinds import KINDS
from trainer.tasks.table import TASKS
from trainer.text.reading import Reading
from trainer.training import loop, optim
from trainer.training.step import training_step
from trainer.weights import hub
from trainer.writing import print_json


def run(options):
    print_json(finetune(options))


def finetune(options):
    """Fine-tunes pretrained weights, or trains random ones.

    Args:
        options: A checked `trainer.options.Finetune`.

    Returns:
        The result that metrics.json holds; of a dry run, the plan.

    Raises:
        Mistake, Failure, Interrupted: See `trainer.errors`.
    """
    task, sources = TASKS[options.task], Sources.of(options)
    kind = KINDS[task.kind]
    before = partial(default, Finetune)  # of runs from before an option was there
    folder = Folder(options.out, of_result(options), sources.inputs(), overwrite=options.overwrite, default=before)
    finished = folder.result()
    if finished:
        say(f"{options.out} holds this run, finished; here is its result (--overwrite trains anew)")
        return finished

    config, tokenizer = initial(options, sources)
    train_rows = training_rows(options, task, sources.train)
    fields = task.input_of(train_rows[0])[1]
    reading = Reading(
        tokenizer, options.max_length, fields, options.labels, options.doc_stride, options.max_answer_length
    )
    reading, train_set = kind.examples(train_rows, task, reading, sources.train)
    dev_rows = None
    if sources.dev:
        cut = {"limit": options.dev_limit, "column": options.column, "lines": options.lines}
        dev_rows = files.read(sources.dev, task, reading.labels, inputs=[fields], **cut)
    if task.target == "label":
        remedy = f"; --sample {options.limit} draws from the whole file" if options.limit else ""
        classes.check(train_rows, task, sources.train, labels=options.labels, remedy=remedy)

    keras.utils.set_random_seed(options.seed)
    architecture = table.of(config)
    model = build_model(config, task, reading.labels, seed=options.seed)
    unused = load_weights(model, config, sources.init, ignore=kind.LAYERS) if sources.init else []
    depths = architecture.depths(model, kind.LAYERS)
    optim.freeze(model, depths, _depth_to_freeze(options.freeze, architecture.layers(config)))
    score = kind.Scorer(model, reading, dev_rows, task, options.batch_size, tune=True) if sources.dev else None
    work = work_of(options, model, kind, train_set, score, depths, metric=score.metric if score else task.metric)
    about_data = [
        f"task      {options.task}{f', of {fields[0]} and {fields[1]}' if len(fields) > 1 else ''}: {reading}",
        f"weights   {sources.init}; new: {', '.join(kind.LAYERS)}; in the file but not used: {', '.join(unused) or 'none'}"
        if sources.init
        else f"weights   random: {architecture.TITLE} of size {options.model}; vocabulary {sources.vocabulary}",
        f"train     {sources.train}: {train_set}",
        *([f"classes   {classes.describe(train_rows, task, reading.labels)}"] if task.target == "label" else []),
        f"dev       {sources.dev}: {score}" if score else "dev       none: no scores",
        f"text      {'lower-cased, without accents' if tokenizer.lower_case else 'cased'}; "
        f"{len(tokenizer.vocabulary):,} pieces",
    ]
    return loop.run(
        work,
        folder,
        config=config_of_run(config, options.task, reading, sources.names),
        tokenizer=tokenizer,
        to_bytes=architecture.to_bytes,
        decisions=about_data + decisions(options, work),
        result={"task": options.task, "model": config["model_type"], "seed": options.seed},
        checkpoint_every=options.checkpoint_every,
        dry_run=options.dry_run,
    )


@dataclass(frozen=True)
class Sources:
    """The files and folders that a run reads, found by the names that were given for them."""

    train: Path
    dev: Path | None
    init: Path | None
    vocabulary: Path | None
    names: dict  # what a reader elsewhere may know of them, see `datasets.title`

    @classmethod
    def of(cls, options):
        fetch = not options.dry_run
        train = datasets.path_of(options.train, "train", options.task, fetch=fetch)
        dev = datasets.path_of(options.dev, "dev", options.task, fetch=fetch) if options.dev else None
        init = hub.folder_of(options.init, fetch=fetch) if options.init else None
        vocabulary = hub.vocabulary_of(options.vocabulary, fetch=fetch) if options.vocabulary else None
        given = {"train": options.train, "dev": options.dev}
        names = {part: datasets.title(name, part) for part, name in given.items() if name}
        return cls(train, dev, init, vocabulary, names | {"init": options.init and hub.repository_of(options.init)})

    def inputs(self):
        """Returns {option: path} of those that there are."""
        paths = {name: getattr(self, name) for name in ("train", "dev", "init", "vocabulary")}
        return {name: path for name, path in paths.items() if path}


def initial(options, sources):
    """Returns (configuration, tokenizer) that the run begins with.

    Raises:
        Mistake: They cannot be read, or hold too few positions for --max_length.
    """
    config, tokenizer = read_init(sources.init) if sources.init else new_config(options.model, sources.vocabulary)
    if options.dropout is not None:
        config = table.of(config).with_dropout(config, options.dropout)
    most = table.of(config).longest(config)
    if most and options.max_length > most:
        raise Mistake(
            f"--max_length {options.max_length} is more than the {most} positions of {sources.init or options.model}"
        )
    return config, tokenizer


def training_rows(options, task, path):
    """Returns the rows that the options choose of a training file."""
    rows = files.read(
        path,
        task,
        options.labels or files.ANY,
        limit=options.limit,
        column=options.column,
        lines=options.lines,
        remedy="; --sample draws from all of them",
    )
    if options.sample:
        rows = classes.sample(rows, options.sample, target=task.target, seed=options.seed)
    return squad.with_unanswerable(rows, options.unanswerable, options.seed) if options.unanswerable else rows


def work_of(options, model, kind, train_set, score, depths, *, metric):
    """Returns the `loop.Work` of a run."""
    examples = options.batch_size * options.accumulate  # a step
    steps = -(-train_set.number // examples)  # an epoch
    variables = model.trainable_variables
    total = options.epochs * steps
    optimizer = optim.optimizer(
        variables,
        optim.Schedule(options.learning_rate, round(options.warmup * total), total, options.schedule),
        name=options.optimizer,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
        epsilon=optim.EPSILON if options.epsilon is None else options.epsilon,
        scales=optim.layer_scales(variables, depths, options.layer_decay),
    )

    def batches(epoch, skip):
        plan = train_set.plan_training(examples, seed=options.seed, epoch=epoch)
        return train_set.steps(plan[skip:], options.batch_size)

    return loop.Work(
        model=model,
        optimizer=optimizer,
        steps=steps,
        epochs=options.epochs,
        batches=batches,
        step=training_step(model, kind, optimizer, accumulate=options.accumulate > 1),
        score=score,
        metric=metric,
        patience=options.patience,
        keep_best=options.keep == "best",
    )


def decisions(options, work):
    """Returns lines that say what will be trained, and how."""
    variables, total = work.model.trainable_variables, work.steps * work.epochs
    frozen = options.freeze if options.freeze == "embeddings" else f"embeddings and the first {options.freeze} layers"
    kept = f", {optim.count(variables):,} of them trained (frozen: {frozen})" if options.freeze else ""
    dropped = "" if options.dropout is None else f"; dropout {options.dropout:g}"
    batches = f"batches of {options.batch_size}"
    if options.accumulate > 1:
        batches += f" times {options.accumulate}, divided by their examples"
    falling = f", times {options.layer_decay:g} a layer downwards" if options.layer_decay < 1 else ""
    others = f"; {options.optimizer}" if options.optimizer != "adamw" else ""
    others += f"; epsilon {options.epsilon:g}" if options.epsilon else ""
    clipped = f"clipped at norm {options.clip_norm:g}" if options.clip_norm else "not clipped"
    _, after = optim.SCHEDULES[options.schedule]
    stop = f"; stops after {options.patience} without a better {work.metric}" if options.patience else ""
    return [
        f"model     {work.model.count_params():,} parameters{kept}; {optim.describe(variables)}{dropped}",
        f"steps     {total} in {options.epochs} epochs of {batches}; learning rate {options.learning_rate:g}{falling} after "
        f"{round(options.warmup * total)} steps, {after}; {clipped}{others}; seed {options.seed}{stop}",
        f"device    {device()}",
    ]


def _depth_to_freeze(freeze, layers):
    """Returns below which depth (see `Architecture.depths`) layers keep their weights; `freeze` is None, `embeddings` or a number."""
    if freeze in (None, "embeddings"):
        return 1 if freeze else 0
    if not 1 <= int(freeze) <= layers:
        raise Mistake(f"--freeze: expected embeddings, or 1 to {layers} layers of this model, received {freeze}")
    return 1 + int(freeze)


def device():
    gpus = tf.config.list_physical_devices("GPU")
    return ", ".join(gpu.name for gpu in gpus) or f"CPU, TensorFlow {tf.__version__}, Keras {keras.__version__}"
