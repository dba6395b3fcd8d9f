"""Fine-tuning, evaluation and prediction: the functions behind `python -m trainer`."""

import os
import time

import keras
import tensorflow as tf

from models import weights
from trainer import Mistake, classes, data, datasets, features, hub, loop, optim, runs, squad
from trainer import output as to
from trainer.heads import HEADS
from trainer.progress import say
from trainer.tasks import TASKS, answers, requests

NOT_OF_THE_RESULT = ("out", "overwrite", "dry_run", "checkpoint_every")  # options that do not change what a run gives


def finetune(
    task, *, train, dev, lines, sample, init, model, vocabulary, out, epochs, batch_size, accumulate, learning_rate, layer_decay, warmup,
    weight_decay, epsilon, dropout, freeze, max_length, doc_stride, max_answer_length, unanswerable, seed, labels, column, limit,
    dev_limit, patience, keep, checkpoint_every, dry_run, overwrite,
):  # fmt: skip
    """Fine-tunes pretrained weights; returns the result that metrics.json holds. Options: `trainer.__main__.finetune`."""
    options = {name: value for name, value in locals().items() if name not in NOT_OF_THE_RESULT}
    name, task, size = task, TASKS[task], model
    options["labels"] = labels = labels or (task.labels and list(task.labels))
    given = {"train": train, "dev": dev, "init": init}
    fetch = not dry_run
    train = datasets.path_of(train, "train", name, fetch=fetch)
    dev = datasets.path_of(dev, "dev", name, fetch=fetch) if dev else None
    init = hub.folder_of(init, fetch=fetch) if init else None
    vocabulary = hub.vocabulary_of(vocabulary, fetch=fetch) if vocabulary else None
    names = {part: datasets.title(given[part], part) for part in ("train", "dev") if given[part]}
    names |= {"init": given["init"] and hub.repository_of(given["init"])}
    inputs = {"train": train, "dev": dev, "init": init, "vocabulary": vocabulary}
    inputs = {option: path for option, path in inputs.items() if path}
    folder = runs.Folder(out, options, inputs, overwrite=overwrite)
    finished = folder.result()
    if finished:
        say(f"{out} holds this run, finished; here is its result (--overwrite trains anew)")
        return finished

    head = HEADS[task.head]
    config, tokenizer = runs.read_init(init) if init else runs.new_config(size, vocabulary)
    if dropout is not None:
        rates = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        config |= dict.fromkeys(rates, dropout)
    remedy = "; --sample draws from all of them"
    train_rows = data.read(train, task, labels or data.ANY, limit=limit, column=column, lines=lines, remedy=remedy)
    if sample:
        train_rows = classes.sample(train_rows, sample, target=task.target, seed=seed)
    if unanswerable:
        train_rows = squad.with_unanswerable(train_rows, unanswerable, seed)
    fields = task.input_of(train_rows[0])[1]
    reading = features.Reading(tokenizer, max_length, fields, labels, doc_stride, max_answer_length)
    positions = config["max_position_embeddings"]
    if max_length > positions:
        raise Mistake(f"--max_length {max_length} is more than the {positions} positions of {init or size}")
    reading, train_set = head.examples(train_rows, task, reading, train)
    dev_rows = []
    if dev:
        dev_rows = data.read(dev, task, reading.labels, inputs=[fields], limit=dev_limit, column=column, lines=lines)
    if task.target == "label":
        remedy = f"; --sample {limit} draws from the whole file"
        classes.check(train_rows, task, train, labels=labels, remedy=remedy if limit else "")
    keras.utils.set_random_seed(seed)
    model = runs.build_model(config, task, reading.labels, seed=seed)
    unused = runs.load_weights(model, init, ignore=head.LAYERS) if init else []
    depths = optim.depths(model, head.LAYERS)
    optim.freeze(model, depths, _depth_to_freeze(freeze, config["num_hidden_layers"]))
    variables = model.trainable_variables
    score = head.Scorer(model, reading, dev_rows, task, batch_size, tune=True) if dev else None
    metric = score.metric if score else task.metric
    steps = -(-train_set.number // (batch_size * accumulate))  # an epoch
    total = epochs * steps
    optimizer = optim.optimizer(
        variables,
        learning_rate=learning_rate,
        warmup=round(warmup * total),
        total=total,
        weight_decay=weight_decay,
        epsilon=optim.EPSILON if epsilon is None else epsilon,
        scales=optim.layer_scales(variables, depths, layer_decay),
    )
    frozen = f", {optim.count(variables):,} of them trained (frozen: {_frozen(freeze)})" if freeze else ""
    batches = f"batches of {batch_size}" + (f" times {accumulate}, divided by their examples" if accumulate > 1 else "")
    falling = f", times {layer_decay:g} a layer downwards" if layer_decay < 1 else ""
    stop = f"; stops after {patience} without a better {metric}" if patience else ""
    adam = f"; epsilon {epsilon:g}" if epsilon else ""
    dropped = "" if dropout is None else f"; dropout {dropout:g}"
    decisions = [
        f"task      {name}{f', of {fields[0]} and {fields[1]}' if len(fields) > 1 else ''}: {reading}",
        f"weights   {init}; new: {', '.join(head.LAYERS)}; in the file but not used: {', '.join(unused) or 'none'}"
        if init
        else f"weights   random: BERT of size {size}; vocabulary {vocabulary}",
        f"train     {train}: {train_set}",
        *([f"classes   {classes.describe(train_rows, task, reading.labels)}"] if task.target == "label" else []),
        f"dev       {dev}: {score}" if dev else "dev       none: no scores",
        f"text      {'lower-cased, without accents' if tokenizer.lower_case else 'cased'}; "
        f"{len(tokenizer.vocabulary):,} pieces",
        f"model     {model.count_params():,} parameters{frozen}; {optim.describe(variables)}{dropped}",
        f"steps     {total} in {epochs} epochs of {batches}; learning rate {learning_rate:g}{falling} after "
        f"{round(warmup * total)} steps, then linearly to 0; clipped at norm 1{adam}; seed {seed}{stop}",
        f"device    {device()}",
    ]
    work = loop.Work(
        steps=steps,
        epochs=epochs,
        batches=lambda epoch, skip: train_set.steps(
            train_set.plan_training(batch_size * accumulate, seed=seed, epoch=epoch)[skip:], batch_size
        ),
        step=training_step(model, head, optimizer, accumulate=accumulate > 1),
        score=score,
        metric=metric,
        patience=patience,
        keep_best=keep == "best",
    )
    return loop.run(
        work,
        folder,
        model,
        optimizer,
        config=runs.config_of_run(config, name, reading, names),
        tokenizer=tokenizer,
        to_bytes=weights.to_bytes,
        decisions=decisions,
        result={"task": name, "model": "bert", "seed": seed},
        checkpoint_every=checkpoint_every,
        dry_run=dry_run,
    )


def _depth_to_freeze(freeze, layers):
    """Returns below which depth (see `optim.depths`) layers keep their weights; `freeze` is None, `embeddings` or a number."""
    if freeze in (None, "embeddings"):
        return 1 if freeze else 0
    if not 1 <= int(freeze) <= layers:
        raise Mistake(f"--freeze: expected embeddings, or 1 to {layers} layers of this model, received {freeze}")
    return 1 + int(freeze)


def _frozen(freeze):
    return freeze if freeze == "embeddings" else f"embeddings and the first {freeze} layers"


def evaluate(run, *, data_file, limit, column, null_threshold, output, batch_size):
    """Scores a run on a labelled file; returns the metrics."""
    folder, run = run, runs.Run(run, null_threshold=null_threshold)
    path = datasets.path_of(data_file, "dev", run.task_name)
    column = column or (None if data.is_json(path) else run.column)
    inputs = {"--data": path, "the run": folder}
    beside = os.path.splitext(output)[0] if output and to.is_plain(output) else None  # of more files
    if beside:
        to.check(f"{beside}.null_odds.json", inputs)
    with to.opened(output, inputs) as file:
        rows = data.read(path, run.task, run.reading.labels, inputs=[run.fields], limit=limit, column=column)
        scorer = run.scorer(rows, batch_size)
        say(f"data      {path}: {scorer}")
        began = time.monotonic()
        result = {"task": run.task_name, "data": str(path), **scorer()}
        if output:
            content, *more = scorer.predictions(output, column).items()
            file.write(content[1])
            for ending, text in more if beside else ():
                with to.opened(beside + ending, inputs) as other:
                    other.write(text)
        return result | scorer.variants() | {"seconds": round(time.monotonic() - began, 1)}


def predict(run, rows, *, signature=None, batch_size):
    """Answers rows (dicts with the fields of one of the task's inputs) in order; yields one dict a row, of the same keys as
    the client's."""
    functions = run.functions()
    for asked, inputs, part in requests(run.task, rows, batch_size, signature):
        outputs = functions[asked](*[tf.constant(inputs[field]) for field in inputs])
        yield from answers(run.task, part, {name: value.numpy() for name, value in outputs.items()})


def training_step(model, head, optimizer, *, accumulate=False):
    """Returns a function [(inputs, targets)] -> loss that makes one step of the optimiser.

    The gradient is that of the loss summed over all that is given, divided once by its number of examples: batches of
    unequal size count as they should. `accumulate`: take more than one batch a step, in the memory of one.
    """
    variables = model.trainable_variables
    signature = [features.INPUTS, head.TARGETS]

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            total, count = head.loss(targets, model(inputs, training=True))
            loss = total / count
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    if not accumulate:
        return lambda batches: float(step(*batches[0]))

    sums = [tf.Variable(tf.zeros(variable.shape)) for variable in variables]

    @tf.function(input_signature=signature, autograph=False)
    def add(inputs, targets):
        with tf.GradientTape() as tape:
            total, count = head.loss(targets, model(inputs, training=True))
        for one, gradient in zip(sums, tape.gradient(total, variables), strict=True):
            one.assign_add(tf.convert_to_tensor(gradient))
        return total, count

    @tf.function(input_signature=[tf.TensorSpec([])], autograph=False)
    def apply(count):
        optimizer.apply([one / count for one in sums], variables)
        for one in sums:
            one.assign(tf.zeros_like(one))

    def step_of_several(batches):
        losses, counts = zip(*[add(*batch) for batch in batches], strict=True)
        apply(tf.add_n(counts))
        return float(tf.add_n(losses) / tf.add_n(counts))

    return step_of_several


def device():
    gpus = tf.config.list_physical_devices("GPU")
    return ", ".join(gpu.name for gpu in gpus) or f"CPU, TensorFlow {tf.__version__}, Keras {keras.__version__}"
