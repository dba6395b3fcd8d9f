"""What a run of `finetune` will train, on what, and how."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import keras

from models.features import MIX
from trainer.data import classes, files, squad
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.options import Finetune
from trainer.reports import report
from trainer.runs import embeddings, fresh
from trainer.runs.blueprint import Blueprint
from trainer.runs.run import has_head
from trainer.runs.sources import Sources
from trainer.tasks.kinds import kind_of
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.text import counted
from trainer.training import batches, loop, machine, optim, workers
from trainer.training.decay import EPSILON
from trainer.training.recompute import Recompute, Recomputing
from trainer.training.step import per_example, training_step


class Plan:
    """What a run will train, on what, and how: everything is made with the plan, nothing is trained.

    Raises:
        Mistake: Data or weights cannot be read, or do not fit each other or the options.
    """

    def __init__(self, options: Finetune, sources: Sources, together: workers.Workers = workers.ALONE) -> None:
        self.options, self.sources, self.workers = options, sources, together
        self.task = TASKS[options.task]
        self.kind = kind_of(self.task, options.decoder)
        self.blueprint, self.makes_vocabulary = _blueprint(options, sources, lambda: self.texts)
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
        below = self.blueprint.architecture.frozen_below(self.blueprint.config, self.depths)
        optim.freeze(self.model, self.depths, max(below, _depth_to_freeze(options.freeze, layers)))
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
    def recompute(self) -> Recompute:
        """Whether layers are computed anew for the gradient."""
        longest = int(self.train_set.lengths.max())
        return Recompute.of(self.options.recompute, self.model, self.options.batch_size, longest)

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
                Recomputing(self.model) if self.recompute.on else self.model,
                self._loss(),
                optimizer,
                signature,
                accumulate=options.accumulate > 1,
                workers=self.workers,
            ),
            to_bytes=self.blueprint.architecture.to_bytes,
            score=self.scorer,
            report=self._report if self.scorer else None,
            learned=lambda: self.blueprint.architecture.learned(self.model),
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


def _blueprint(options, sources, texts):
    """Returns (the blueprint of the model to train, whether its vocabulary is made of `texts()`).

    Raises:
        Mistake: It cannot be read, lacks what the task needs, or has fewer positions than --max_length.
    """
    task, top = TASKS[options.task], None
    fresh_one = lambda unit: fresh.blueprint(replace(options, unit=unit), sources.vocabulary, texts)
    blueprint = Blueprint.of_weights(sources.init) if sources.init else fresh_one(options.unit)
    makes_vocabulary = not (sources.init or sources.vocabulary)
    blueprint.check(options.task, task)
    if options.features and options.model:
        if blueprint.architecture.reads_ids(blueprint.config):
            top = fresh.reading_as(blueprint, options)
        else:
            top, makes_vocabulary = fresh_one(options.unit or blueprint.tokenizer.unit), not sources.vocabulary
    if options.features:
        blueprint = blueprint.as_features(options.layers or MIX, options.features == "frozen", top)
    if options.dropout is not None:
        blueprint = blueprint.with_dropout(options.dropout)
    positions = blueprint.architecture.longest(blueprint.config)
    if positions and options.max_length > positions:
        raise Mistake(
            f"--max_length {options.max_length} is more than the {positions} positions of {sources.init or options.model}"
        )
    return blueprint, makes_vocabulary


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
