"""Lineage from Python: what `import trainer` offers; each function imports TensorFlow when it is called, not before."""


def finetune(task, **options):
    """Fine-tunes pretrained weights, or trains random ones, on a task, as `python -m trainer finetune` does.

    Args:
        task: Its name, as `sentiment`.
        **options: The flags of the command, by name, with its defaults: see `trainer.options.Finetune`.

    Returns:
        The result that metrics.json holds.

    Raises:
        trainer.errors.Mistake, trainer.errors.Failure: Each with one line that says what was received and expected.

    Example:
        >>> import trainer
        >>> trainer.finetune("sentiments", train="reviews.tsv", out="runs/reviews", init="minilm")
        Traceback (most recent call last):
        trainer.errors.Mistake: task: expected one of sentiment, classification, nli, tagging, qa, received sentiments
    """
    from trainer.options import Finetune

    options = Finetune(task=task, **options).checked()
    from trainer.commands import finetune as command

    return command.finetune(options)


def load(folder, *, null_threshold=None):
    """Loads a trained model.

    Args:
        folder: Of a finished run.
        null_threshold: Of a run of questions; see `trainer.options.Evaluate`.

    Returns:
        A `Trained`.
    """
    return Trained(folder, null_threshold=null_threshold)


class Trained:
    """A trained model that answers rows of text; see `load`.

    Attributes:
        model: The `keras.Model` inside, from word pieces to logits.
        labels: In the order of their numbers.
    """

    def __init__(self, folder, *, null_threshold=None):
        from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
        from trainer.runs.run import Run

        self.folder, self.null_threshold = folder, null_threshold
        self._run = Run(folder, null_threshold=null_threshold)
        self.model, self.labels = self._run.model, list(self._run.reading.labels)

    def predict(self, rows, *, signature=None, batch_size=32):
        """Answers rows in order.

        Args:
            rows: Texts, for a run that reads one; else dicts of the task's fields, as {"premise": ..., "hypothesis": ...}.
            signature: As of `python -m trainer predict`.
            batch_size: Rows at once.

        Returns:
            A list of dicts, as `python -m trainer predict` prints them.
        """
        from trainer.commands.predict import predict

        if isinstance(rows, str | dict):
            raise TypeError(f"expected a list of rows, received one {type(rows).__name__}")
        field = next((fields[0] for fields in self._run.inputs if len(fields) == 1), "text")
        rows = [{field: row} if isinstance(row, str) else row for row in rows]
        return list(predict(self._run, rows, signature=signature, batch_size=batch_size))

    def evaluate(self, data, **options):
        """Returns the scores on a labelled file or a data set by name; options as of `python -m trainer evaluate`."""
        from trainer.commands.evaluate import evaluate
        from trainer.options import Evaluate

        own = {"run": str(self.folder), "null_threshold": self.null_threshold}
        return evaluate(Evaluate(data=str(data), **(own | options)).checked())


def from_preset(name, *, task="sentiment", labels=None, max_length=None, learning_rate=5e-5, seed=0):
    """Returns a compiled Keras model with pretrained weights and a new head, and the reader that feeds it.

    Args:
        name: As of --init: `minilm`, a folder, OWNER/NAME of the Hugging Face hub.
        task: One whose gold value is a label: sentiment, classification, nli.
        labels: Their names, in the order of their numbers; by default the task's own.
        max_length: Pieces read at once; by default the task's.
        learning_rate: Of AdamW.
        seed: Of the head and of dropout.

    Returns:
        (`keras.Model` from the reader's tensors to logits [B, C], `Reader`). `model.fit(reader(texts), labels)` with numbers of
        labels [B]; `model.save(PATH.keras)` and `keras.models.load_model` work.
    """
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    import keras

    from trainer.errors import Mistake
    from trainer.runs.run import build_model, load_weights, read_init
    from trainer.tasks.kinds import KINDS
    from trainer.tasks.table import TASKS
    from trainer.weights import hub

    if task not in TASKS or TASKS[task].target != "label":
        names = [name for name, one in TASKS.items() if one.target == "label"]
        raise Mistake(f"task: expected one of {', '.join(names)}, received {task}")
    labels = list(labels or TASKS[task].labels or ())
    if len(labels) < 2:
        raise Mistake(f"labels: expected two or more names for {task}, received {', '.join(labels) or 'none'}")
    folder = hub.folder_of(name)
    config, tokenizer = read_init(folder)
    keras.utils.set_random_seed(seed)
    model = build_model(config, TASKS[task], labels, seed=seed)
    load_weights(model, config, folder, ignore=KINDS[TASKS[task].kind].LAYERS)
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=0.01, epsilon=1e-6, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # packed shapes differ from batch to batch
    )
    return model, Reader(tokenizer, labels, max_length or TASKS[task].max_length)


class Reader:
    """Maps raw strings to what the model reads; see `from_preset`.

    Attributes:
        labels: In the order of their numbers.
    """

    def __init__(self, tokenizer, labels, max_length):
        self.tokenizer, self.labels, self.max_length = tokenizer, labels, max_length

    def __call__(self, texts, second=None):
        """Returns `token_ids`, `segment_ids` int32 [B, S] and `mask` bool [B, S] of texts [B], or of as many pairs."""
        import tensorflow as tf

        from trainer.text import frame
        from trainer.training.batches import tokenize

        if isinstance(texts, str) or len(texts) == 0:
            raise TypeError(f"expected a list of texts, received {texts!r}")
        ids = [
            tokenize([str(text) for text in column], self.tokenizer) for column in (texts, second) if column is not None
        ]
        packed = frame.pack(ids[0], self.tokenizer, self.max_length, second=ids[1] if len(ids) > 1 else None)
        return {name: tf.convert_to_tensor(value) for name, value in packed.items()}
