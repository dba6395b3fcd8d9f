"""`python -m trainer finetune TASK`: from a file of rows to a run folder."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from trainer import recipes
from trainer.data import classes, files, squad
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.options import Finetune, defaults, of_result
from trainer.reports import report
from trainer.runs import embeddings, fresh
from trainer.runs.blueprint import Blueprint
from trainer.runs.folder import Folder
from trainer.runs.run import files_of_run, has_head, settings_of_run
from trainer.runs.sources import Sources
from trainer.tasks.kinds import kind_of
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.text import counted
from trainer.training import batches, loop, machine, optim, workers
from trainer.training.decay import EPSILON, count, describe
from trainer.training.step import per_example, training_step
from trainer.writing import print_json


def run(options: Finetune) -> None:
    result = finetune(options)
    if workers.join().is_chief:
        print_json({name: value for name, value in result.items() if name != "report"})  # a page; metrics.json has it


def finetune(options: Finetune) -> dict[str, Any]:
    """Fine-tunes pretrained weights, or trains random ones.

    Args:
        options: Checked.

    Returns:
        The result that metrics.json holds; of a dry run, the plan.

    Raises:
        Mistake, Failure, Interrupted: See `trainer.errors`.
    """
    machine.prepare(options)
    together = workers.join()
    sources = Sources.of(options)
    folder = Folder(
        options.out,
        of_result(options),
        sources.inputs(),
        overwrite=options.overwrite,
        defaults=defaults(Finetune),  # for runs that are older than an option
    )
    if finished := folder.finished():
        return finished
    plan = Plan(options, sources, together)
    return loop.run(
        plan.work,
        folder,
        settings=settings_of_run(plan.blueprint, options.task, plan.setup, sources.names),
        files=files_of_run(plan.blueprint, plan.setup),
        decisions=plan.decisions(),
        result={"task": options.task, "model": plan.blueprint.architecture.name, "seed": options.seed},
        checkpoint_every=options.checkpoint_every,
        dry_run=options.dry_run,
    )


class Plan:
    """What a run will train, on what, and how: everything is made with the plan, nothing is trained.

    Raises:
        Mistake: Data or weights cannot be read, or do not fit each other or the options.
    """

    def __init__(self, options: Finetune, sources: Sources, together: workers.Workers = workers.ALONE) -> None:
        self.options, self.sources, self.workers = options, sources, together
        self.task = TASKS[options.task]
        self.kind = kind_of(self.task, options.decoder)
        self.blueprint = _blueprint(options, sources, lambda: self.texts)
        fields = self.task.fields_of(self.train_rows[0])
        self.blueprint.check(options.task, self.task, len(fields))
        setup = Setup(
            self.task,
            self.blueprint.reader(options.max_length),
            fields,
            options.labels or [],
            options.doc_stride,
            options.max_answer_length,
            decoder=options.decoder,
            beams=options.beams if self.task.kind == "write" else None,
            length_penalty=options.length_penalty if self.task.kind == "write" else None,
        )
        self.setup, self.train_set = self.kind.examples(self.train_rows, setup, sources.train)
        dev_rows = self._dev_rows()
        if self.task.target == "label":
            remedy = f"; --sample {options.limit} draws from the whole file" if options.limit else ""
            classes.check(self.train_rows, self.task, sources.train, labels=options.labels, remedy=remedy)
        self.class_weights = None
        if options.class_weights:
            labels = self.setup.labels
            self.class_weights = classes.weights_of(options.class_weights, self.train_rows, self.task, labels)

        keras.utils.set_random_seed(options.seed)
        texts = len(self.setup.fields)
        with machine.computing_in(options.precision):
            self.model = self.blueprint.model(
                self.task, len(self.setup.labels), texts=texts, decoder=options.decoder, seed=options.seed
            )
        self.layers_of_task = self.blueprint.layers_of_task(self.kind, self.model)
        self.keeps_head = sources.init is not None and has_head(sources.init, options.task, self.setup)
        self.absent = self.blueprint.absent(self.model, sources.init) if sources.init else ()
        new = (*self.absent, *(() if self.keeps_head else self.layers_of_task))
        self.unused = self.blueprint.load(self.model, sources.init, ignore=new) if sources.init else []
        self.known_words = 0
        if sources.embeddings:
            self.known_words = embeddings.begin_with(
                self.model, self.blueprint.tokenizer.vocabulary, sources.embeddings
            )
        if self.kind.begin and not self.keeps_head:
            self.kind.begin(self.model, self.train_set)
        self.depths = self.blueprint.architecture.depths(self.model, self.kind.layers)
        layers = self.blueprint.architecture.layers(self.blueprint.config)
        optim.freeze(self.model, self.depths, _depth_to_freeze(options.freeze, layers))
        self.scorer = None
        if dev_rows is not None:
            self.scorer = self.kind.scorer(self.model, self.setup, dev_rows, options.batch_size, tune=True)

    @cached_property
    def train_rows(self) -> list[Row]:
        """The rows that the options choose of the training file."""
        return _training_rows(self.options, self.sources.train)

    @cached_property
    def texts(self) -> counted.Texts:
        """The texts of the training rows, of which a vocabulary is made where none is given."""
        return fresh.texts(self.train_rows, self.task)

    def _dev_rows(self):
        if not self.sources.dev:
            return None
        options = self.options
        return files.read(
            self.sources.dev,
            self.task,
            self.setup.labels,
            inputs=[self.setup.fields],
            limit=options.dev_limit,
            column=options.column,
            lines=options.lines,
            layout=options.layout(self.task, options.task),
        )

    @cached_property
    def work(self) -> loop.Work:
        """The job of the run."""
        options, train_set = self.options, self.train_set
        examples = options.batch_size * options.accumulate  # per step
        steps = -(-train_set.number // examples)  # per epoch
        variables = self.model.trainable_variables
        total = options.epochs * steps
        optimizer = optim.optimizer(
            variables,
            optim.Schedule(options.learning_rate, round(options.warmup * total), total, options.schedule),
            name=options.optimizer,
            weight_decay=options.weight_decay,
            clip_norm=options.clip_norm,
            epsilon=EPSILON if options.epsilon is None else options.epsilon,
            scales=optim.layer_scales(variables, self.depths, options.layer_decay, self.kind.rates),
            scales_loss=options.precision == "mixed_float16",
        )

        def batches_of(epoch, skip):
            plan = train_set.plan(examples, seed=options.seed, epoch=epoch)
            left, most = plan[skip:], options.accumulate
            return batches.steps(train_set, left, options.batch_size, epoch, most=most, workers=self.workers)

        signature = [self.setup.reader.inputs(len(self.setup.fields)), self.kind.targets]
        return loop.Work(
            model=self.model,
            optimizer=optimizer,
            steps=steps,
            epochs=options.epochs,
            batches=batches_of,
            step=training_step(
                self.model,
                self._loss(),
                optimizer,
                signature,
                accumulate=options.accumulate > 1,
                workers=self.workers,
            ),
            to_bytes=self.blueprint.architecture.to_bytes,
            score=self.scorer,
            report=self._report if self.scorer else None,
            metric="loss" if options.best_by == "loss" else self.scorer.metric if self.scorer else self.task.metric,
            less_is_better=options.best_by == "loss",
            patience=options.patience,
            keep_best=options.keep == "best",
            average=options.average or 0,
            workers=self.workers,
        )

    def _loss(self):
        loss = self.kind.loss
        if self.kind.smoothed_loss:
            loss = self.kind.smoothed_loss(self.options.label_smoothing)
        if self.class_weights:
            assert self.kind.weighted_loss  # the options have been checked
            loss = self.kind.weighted_loss(self.class_weights)
        return per_example(loss, self.train_set.asked) if self.train_set.asked else loss

    def _report(self):
        assert self.scorer
        return report.report(self.scorer.outcomes(), confusions=report.MOST_CONFUSIONS)

    def decisions(self) -> list[str]:
        """Returns lines that say what will be trained, on what, and how."""
        options, sources, setup, tokenizer = self.options, self.sources, self.setup, self.blueprint.tokenizer
        fields = f", of {setup.fields[0]} and {setup.fields[1]}" if len(setup.fields) > 1 else ""
        head = "its head goes on" if self.keeps_head else f"new: {', '.join([*self.absent, *self.layers_of_task])}"
        head += "".join(f"; {layer} at {rate:g} times the learning rate" for layer, rate in self.kind.rates.items())
        unused = ", ".join(self.unused) or "none"
        title = self.blueprint.architecture.title
        recipe = [f"recipe    {recipes.named(options.recipe).describe()}"] if options.recipe else []
        vocabulary = f"vocabulary {sources.vocabulary or fresh.origin(options, tokenizer.unit)}"
        return [
            *recipe,
            f"task      {options.task}{fields}: {setup}",
            f"weights   {sources.init}; {head}; in the file but not used: {unused}"
            if sources.init
            else f"weights   random: {title} of size {' '.join([str(options.model), *(options.settings or ())])}; {vocabulary}",
            *self._decisions_of_embeddings(),
            f"train     {sources.train}: {self.train_set}",
            *self._decisions_of_classes(),
            f"dev       {sources.dev}: {self.scorer}" if self.scorer else "dev       none: no scores",
            f"text      {fresh.describe(tokenizer, None if sources.init or sources.vocabulary else self.texts)}",
            *_decisions_of_work(options, self.work),
        ]

    def _decisions_of_embeddings(self):
        size = len(self.blueprint.tokenizer.vocabulary)
        path = self.sources.embeddings
        return [f"vectors   {path}: of {self.known_words:,} of {size:,} words of the vocabulary"] if path else []

    def _decisions_of_classes(self):
        name = {"label": "classes", "labels": "labels", "score": "scores"}.get(self.task.target)
        if not name:
            return []
        weights = self.class_weights and zip(self.setup.labels, self.class_weights, strict=True)
        shown = "; in the loss: " + ", ".join(f"{label} x {weight:.4g}" for label, weight in weights) if weights else ""
        return [f"{name:<10}{classes.describe(self.train_rows, self.task, self.setup.labels)}{shown}"]


def _blueprint(options, sources, texts):
    """Returns the blueprint of the model to train; `texts()`: those that a vocabulary is made of, where none is given.

    Raises:
        Mistake: It cannot be read, lacks what the task needs, or has fewer positions than --max_length.
    """
    task = TASKS[options.task]
    blueprint = (
        Blueprint.of_weights(sources.init) if sources.init else fresh.blueprint(options, sources.vocabulary, texts)
    )
    blueprint.check(options.task, task)
    if options.dropout is not None:
        blueprint = blueprint.with_dropout(options.dropout)
    positions = blueprint.architecture.longest(blueprint.config)
    if positions and options.max_length > positions:
        raise Mistake(
            f"--max_length {options.max_length} is more than the {positions} positions of {sources.init or options.model}"
        )
    return blueprint


def _training_rows(options: Finetune, path: Path) -> list[Row]:
    """Returns the rows that the options choose of a training file."""
    task = TASKS[options.task]
    rows = files.read(
        path,
        task,
        options.labels or files.ANY,
        limit=options.limit,
        column=options.column,
        lines=options.lines,
        layout=options.layout(task, options.task),
        remedy="; --sample draws from all of them",
    )
    if options.sample:
        rows = classes.sample(rows, options.sample, target=task.target, seed=options.seed)
    return squad.with_unanswerable(rows, options.unanswerable, options.seed) if options.unanswerable else rows


def _decisions_of_work(options, work):
    """Returns the decisions about the optimisation, and the device."""
    variables, total = work.model.trainable_variables, work.steps * work.epochs
    frozen = options.freeze if options.freeze == "embeddings" else f"embeddings and the first {options.freeze} layers"
    trained = f", {count(variables):,} of them trained (frozen: {frozen})" if options.freeze else ""
    dropout = "" if options.dropout is None else f"; dropout {options.dropout:g}"
    batching = f"batches of {options.batch_size}"
    if options.accumulate > 1:
        batching += f" times {options.accumulate}, divided by their examples"
    decay = f", times {options.layer_decay:g} a layer downwards" if options.layer_decay < 1 else ""
    optimizer = f"; {options.optimizer}" if options.optimizer != "adamw" else ""
    optimizer += f"; epsilon {options.epsilon:g}" if options.epsilon else ""
    clipping = f"clipped at norm {options.clip_norm:g}" if options.clip_norm else "not clipped"
    _, after = optim.SCHEDULES[options.schedule]
    stop = f"; stops after {options.patience} without a better {work.metric}" if options.patience else ""
    return [
        f"model     {work.model.count_params():,} parameters{trained}; {describe(variables)}{dropout}",
        f"steps     {total} in {options.epochs} epochs of {batching}; learning rate {options.learning_rate:g}{decay} after "
        f"{round(options.warmup * total)} steps, {after}; {clipping}{optimizer}; seed {options.seed}{stop}",
        *work.workers.describe(),
        f"device    {machine.device(options.precision)}",
    ]


def _depth_to_freeze(freeze, layers):
    """Returns the depth (see `Architecture.depths`) below which layers keep their weights.

    Args:
        freeze: None, `embeddings`, or a number of layers.
        layers: Of the model.

    Raises:
        Mistake: The model has fewer layers, or 0 are asked for.
    """
    if freeze in (None, "embeddings"):
        return 1 if freeze else 0
    if not 1 <= int(freeze) <= layers:
        numbers = f", or 1 to {layers} layers of this model" if layers else " (this model has no layers)"
        raise Mistake(f"--freeze: expected embeddings{numbers}, received {freeze}")
    return 1 + int(freeze)
