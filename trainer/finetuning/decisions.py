"""What `finetune` says before it trains: a line a decision."""

from trainer import recipes
from trainer.data import classes
from trainer.finetuning.plan import Plan
from trainer.runs import fresh
from trainer.training import machine, optim
from trainer.training.decay import count, describe


def decisions(plan: Plan) -> list[str]:
    """Returns lines that say what will be trained, on what, and how."""
    options, sources, setup, tokenizer = plan.options, plan.sources, plan.setup, plan.blueprint.tokenizer
    fields = f", of {setup.fields[0]} and {setup.fields[1]}" if len(setup.fields) > 1 else ""
    recipe = [f"recipe    {recipes.named(options.recipe).describe()}"] if options.recipe else []
    return [
        *recipe,
        f"task      {options.task}{fields}: {setup}",
        *_of_weights(plan),
        f"train     {sources.train}: {plan.train_set}",
        *_of_classes(plan),
        f"dev       {sources.dev}: {plan.scorer}" if plan.scorer else "dev       none: no scores",
        f"text      {fresh.describe(tokenizer, plan.texts if plan.makes_vocabulary else None)}",
        *_of_work(plan),
    ]


def _of_weights(plan):
    options, sources, vocabulary = plan.options, plan.sources, plan.blueprint.tokenizer.vocabulary
    size = " ".join([str(options.model), *(options.settings or ())])
    if sources.init:
        head = "its head goes on" if plan.keeps_head else f"new: {', '.join([*plan.absent, *plan.layers_of_task])}"
        head += "".join(f"; {layer} at {rate:g} times the learning rate" for layer, rate in plan.kind.rates.items())
        lines = [f"weights   {sources.init}; {head}; in the file but not used: {', '.join(plan.unused) or 'none'}"]
    else:
        origin = sources.vocabulary or fresh.origin(options, plan.blueprint.tokenizer.unit)
        title = plan.blueprint.architecture.title
        lines = [f"weights   random: {title} of size {size}; vocabulary {origin}"]
    if options.features:
        kept = "which keep their weights" if options.features == "frozen" else "which are trained as well"
        read = f"; read by {size}" if options.model else "; read by the head"
        read += f", whose vocabulary is {fresh.origin(options, 'words')}" if plan.makes_vocabulary else ""
        lines.append(f"features  {plan.blueprint.config.shown()}, {kept}{read}")
    if sources.embeddings:
        known = f"{plan.known_words:,} of {len(vocabulary):,} words of the vocabulary"
        lines.append(f"vectors   {sources.embeddings}: of {known}")
    return lines


def _of_classes(plan):
    name = {"label": "classes", "labels": "labels", "score": "scores"}.get(plan.task.target)
    if not name:
        return []
    weights = plan.class_weights and zip(plan.setup.labels, plan.class_weights, strict=True)
    shown = "; in the loss: " + ", ".join(f"{label} x {weight:.4g}" for label, weight in weights) if weights else ""
    return [f"{name:<10}{classes.describe(plan.train_rows, plan.task, plan.setup.labels)}{shown}"]


def _of_work(plan):
    """Returns the decisions about the optimisation, and the device."""
    options, work = plan.options, plan.work
    variables, total = work.model.trainable_variables, work.steps * work.epochs
    frozen = options.freeze if options.freeze == "embeddings" else f"embeddings and the first {options.freeze} layers"
    frozen = f" (frozen: {frozen})" if options.freeze else ""
    parameters, number = work.model.count_params(), count(variables)
    trained = f", {number:,} of them trained{frozen}" if number < parameters else ""
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
        f"model     {parameters:,} parameters{trained}; {describe(variables)}{dropout}",
        f"steps     {total} in {options.epochs} epochs of {batching}; learning rate {options.learning_rate:g}{decay} after "
        f"{round(options.warmup * total)} steps, {after}; {clipping}{optimizer}; seed {options.seed}{stop}",
        *plan.recompute.said,
        *work.workers.describe(),
        f"device    {machine.device(options.precision)}",
    ]
