"""The options of `finetune` in groups: a base class a group, whose docstring is a heading of `--help`."""

from dataclasses import dataclass

from trainer.errors import Mistake
from trainer.options.base import without_effect
from trainer.options.checks import more_than_special, one_of, positive, search, within_seeds
from trainer.tasks.table import BEAMS, LABEL_SMOOTHING, LENGTH_PENALTY, Task

FEATURES = ("frozen", "finetune")  # values of --features
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
RECOMPUTE = ("auto", "yes", "no")
UNITS = (
    "pieces",
    "words",
    "characters",
    "joined_pieces",
)  # of `trainer.text.units`, which imports TensorFlow; the first is the default
WRITTEN = UNITS[3]  # what models write in
UNKNOWN = ("unk", "characters")  # likewise, of `--unknown`


@dataclass(kw_only=True)
class TrainingData:
    """Data"""

    train: str
    """Training file (texts: CSV, TSV, JSON lines, Parquet, `label sentence` lines; tagged words: CoNLL-U, columns, JSON lines; questions: SQuAD JSON, JSON lines; texts and their translations: CSV, TSV, JSON lines, or two files, named as one, train.{de,en}; any of them packed, .gz), or a data set by name (`python -m trainer datasets` lists them): sst2, ocnli:train-10k, tfds:NAME, hf:NAME."""
    dev: str | None = None
    """File, or data set by name (its dev part), to score after each epoch."""
    labels: list[str] | None = None
    """Label names in the order of their numbers, or a file with one a line. By default the task's own, or those of the data."""
    multi_label: bool = without_effect(False)
    """Of classification: a row may have any number of labels, with | between or as a JSON list; the task multi_label, said otherwise."""
    column: str | int | None = None
    """Where a treebank's tags stand: upos (default) or xpos of CoNLL-U; of other files, a column's number, 2 or more (default: the last)."""
    lines: str | None = None
    """What the lines of a file without names of columns are: labelled (a label, a space, a text); asked for where labels are not known and no numbers, so that it cannot be told."""
    limit: int | None = None
    """Train on the first so many examples only."""
    sample: int | None = None
    """Train on so many only, drawn from all by the seed; classes keep their shares."""
    dev_limit: int | None = None
    """Score on the first so many only."""
    unanswerable: float | None = None
    """Of qa: ask this share of the questions of a second paragraph, too, that lies near and does not hold the answer; so a run learns from SQuAD 1.1 that some have none."""

    def check_data(self, task_name: str, task: Task) -> None:
        positive(limit=self.limit, sample=self.sample, dev_limit=self.dev_limit)
        if self.limit and self.sample:
            raise Mistake("expected --limit, which takes the first rows, or --sample, which draws, received both")
        one_of("lines", self.lines, (None, "labelled"))
        if self.dev_limit and self.dev is None:
            raise Mistake("--dev_limit: expected --dev to score on, received none")
        if self.unanswerable is not None and not 0 < self.unanswerable <= 1:
            raise Mistake(f"--unanswerable: expected a share above 0, 1 at most, received {self.unanswerable}")
        if self.labels and task.target == "tags":
            raise Mistake("--labels: the labels of tagging are those of its training data, received others")
        if self.labels and task.target in ("answers", "score", "target"):
            raise Mistake(f"--labels: expected for tasks that have labels, received for {task_name}")
        if self.column and task.target != "tags":
            raise Mistake(f"--column: expected for treebanks (tagging), received for {task_name}")


@dataclass(kw_only=True)
class ModelOptions:
    """Model"""

    init: str | None = None
    """Pretrained weights: a folder of Hugging Face's or of Google's form, a short name (`python -m trainer weights` lists them), or OWNER/NAME[@REVISION] on the Hugging Face hub."""
    features: str | None = None
    """Read the layers of --init as features: frozen, it keeps its weights; finetune, it is trained as well. They are read by the head of the task, or by --model, a recurrent network, beside embeddings of its own (--settings embedding_width=0: without)."""
    layers: str | int | None = None
    """With --features, what is read: mix (the default: a sum of all layers, whose weights are learned), last, or a layer by its number, 0 the embeddings."""
    model: str | None = None
    """Instead of --init, random weights: bag (of embeddings), rnn, lstm, gru, bilstm, bigru, transformer, elmo, gpt; of translation seq2seq, seq2seq-attention, transformer-seq2seq; of BERT a size: tiny, mini, small, medium, minilm, base, large."""
    settings: list[str] | None = None
    """Of --model, other settings than its size has: NAME=VALUE ..., as layers=2 width=300 (a wrong name lists all)."""
    vocabulary: str | None = None
    """The vocab.txt of random weights: a file, or that of weights by name, as for --init (default: made of the training texts)."""
    vocabulary_size: int | None = None
    """Entries of a vocabulary that is made (default: 8000 pieces, 20000 words, 8000 characters)."""
    vocabulary_min_count: int | None = None
    """How often an entry of it stands in the training texts at least (default: 2 for words, so that what stands for unknown ones is trained; 1 for pieces and characters)."""
    unit: str | None = None
    """What random weights read text in: pieces, as BERT does, words, of Chinese the longest that the vocabulary has, or characters (default: characters where a vocabulary is made of Chinese texts, else pieces; of translation joined_pieces, which give the text back)."""
    unknown: str | int | None = None
    """Of --unit words, what an unknown word becomes: unk (the default: [UNK]), characters, which the vocabulary then has, too, or one of a number N of hash buckets."""
    embeddings: str | None = None
    """Of --unit words, vectors that the embeddings begin with: a file of word2vec's text or binary form (.bin) or of GloVe's, or a run of `pretrain word2vec`; --freeze embeddings keeps them."""
    max_length: int | None = None
    """Pieces read at once, [CLS] and [SEP] included (default: 128; qa 384); longer texts lose their end, the longer of two first, or are tagged and searched for answers in windows that overlap."""
    doc_stride: int | None = None
    """Of qa: pieces from the start of one window of a context to that of the next (default: 128)."""
    max_answer_length: int | None = None
    """Of qa: pieces of the longest answer that is looked for (default: 30)."""
    decoder: str | None = None
    """Of tagging, how tags are found: softmax, each by itself (the default), or crf, with their neighbours, by a conditional random field."""
    beams: int = BEAMS
    """Of translation: hypotheses that are kept at a time where the run answers later; 1 takes the best unit at each step, as scores during training do."""
    length_penalty: float = LENGTH_PENALTY
    """Of translation: the power of its length by which the logarithm of a hypothesis's probability is divided; with more, longer ones win."""
    dropout: float | None = None
    """In training (default: as the weights' configuration says, mostly 0.1; 0 learns faster where each example is seen once)."""
    freeze: str | int | None = None
    """What keeps its weights: embeddings, or a number N for embeddings and the first N layers."""

    def check_model(self, task_name: str, task: Task) -> None:
        self._check_features(task_name, task)
        if not self.features and (self.init is None) == (self.model is None):
            raise Mistake(f"expected either --init or --model, received {'both' if self.init else 'neither'}")
        for name in ("vocabulary", "vocabulary_size", "vocabulary_min_count", "unit", "unknown"):
            if self.model is None and getattr(self, name) is not None:
                raise Mistake(f"--{name}: expected with --model, received with --init, whose vocabulary is its own")
        self._check_text(task)
        if self.embeddings and (self.model is None or self.unit != "words"):
            received = "--init" if self.model is None else f"--unit {self.unit or UNITS[0]}"
            raise Mistake(f"--embeddings: expected with --model and --unit words, received with {received}")
        if self.settings and not self.model:
            raise Mistake("--settings: expected with --model, received with --init, whose settings are its own")
        for setting in self.settings or ():
            if not all(setting.partition("=")):
                raise Mistake(f"--settings: expected NAME=VALUE, received {setting}")
        if self.decoder and not task.decoders:
            raise Mistake(f"--decoder: expected for tagging, received for {task_name}")
        one_of("decoder", self.decoder, (None, *task.decoders))
        search(self.beams, self.length_penalty)
        for name, usual in (("beams", BEAMS), ("length_penalty", LENGTH_PENALTY)):
            if task.kind != "write" and getattr(self, name) != usual:
                raise Mistake(f"--{name}: expected for translation, received for {task_name}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise Mistake(f"--dropout: expected a rate from 0, below 1, received {self.dropout}")
        if self.freeze is not None and str(self.freeze) != "embeddings" and not str(self.freeze).isdecimal():
            raise Mistake(f"--freeze: expected embeddings or a number of layers, received {self.freeze}")

    def _check_features(self, task_name, task):
        one_of("features", self.features, (None, *FEATURES))
        if self.layers is not None and not self.features:
            raise Mistake("--layers: expected with --features, received without")
        if self.layers is not None and str(self.layers) not in ("mix", "last") and not str(self.layers).isdecimal():
            raise Mistake(f"--layers: expected mix, last or a number, received {self.layers}")
        if not self.features:
            return
        if self.init is None:
            raise Mistake("--features: expected with --init, whose layers are read, received without")
        if task.kind == "write":
            raise Mistake(f"--features: expected for tasks that read, received for {task_name}")
        if self.freeze is not None and self.features == FEATURES[0]:
            raise Mistake(f"--freeze: expected without --features {self.features}, which freezes all of --init")

    def _check_text(self, task):
        one_of("unit", self.unit, (None, *UNITS))
        if task.kind == "write" and self.unit not in (None, WRITTEN):
            raise Mistake(f"--unit: expected {WRITTEN}, of which texts are made again, received {self.unit}")
        unit, unknown = self.unit or UNITS[0], str(self.unknown)
        if self.unknown is not None and not (unknown.isdecimal() and int(unknown)) and unknown not in UNKNOWN:
            raise Mistake(f"--unknown: expected {', '.join(UNKNOWN)} or a number of hash buckets, received {unknown}")
        if self.unknown is not None and unknown != UNKNOWN[0] and unit != "words":
            raise Mistake(f"--unknown {unknown}: expected with --unit words, received with {unit}")
        for name in ("vocabulary_size", "vocabulary_min_count"):
            if getattr(self, name) is not None and self.vocabulary is not None:
                raise Mistake(f"--{name}: expected of a vocabulary that is made, received with --vocabulary")
        positive(vocabulary_min_count=self.vocabulary_min_count)
        more_than_special("vocabulary_size", self.vocabulary_size)


@dataclass(kw_only=True)
class Optimisation:
    """Optimisation"""

    epochs: int = 3
    """Times that every example is seen."""
    batch_size: int = 32
    """Examples at once."""
    accumulate: int = 1
    """Batches a step; their gradients are summed and divided by their examples."""
    optimizer: str = "adamw"
    """adamw, or sgd with momentum 0.9."""
    learning_rate: float = 5e-5
    """At the end of the warm-up."""
    schedule: str = "linear"
    """What the learning rate does after the warm-up: linear or cosine (to 0), inverse_square_root, constant."""
    layer_decay: float = 1.0
    """Times the learning rate, for each layer further from the output (ELECTRA: 0.8 to 0.9)."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.01
    """Decoupled, times the learning rate; not on biases and layer normalisation."""
    class_weights: str | None = None
    """How much examples of each class count in the loss: balanced (all classes the same in sum), or a file, JSON {label: weight}; tasks with one label a text."""
    label_smoothing: float = LABEL_SMOOTHING
    """Of translation: probability that is taken from the right unit and given to all alike (Vaswani et al. 2017, section 5.4)."""
    clip_norm: float = 1.0
    """Norm of all gradients together at which they are clipped; 0: they are not."""
    epsilon: float | None = None
    """Of Adam (default: 1e-6, as google-research/bert has it; transformers has 1e-8)."""
    seed: int = 0
    """Of new weights, dropout and the order of the examples."""
    patience: int | None = None
    """Stop after so many epochs without a better dev score."""
    keep: str = "last"
    """Whose epoch's weights are kept, last or best (on dev)."""
    best_by: str = "score"
    """What tells the best epoch, for --keep and --patience: score, the task's own, as accuracy or BLEU, or the dev loss."""
    average: int | None = None
    """Keep the mean of the weights of so many last epochs instead, which is scored, too."""

    def check_optimisation(self, dev: str | None, task_name: str, task: Task) -> None:
        if self.class_weights and task.target != "label":
            raise Mistake(f"--class_weights: expected for tasks with one label a text, received for {task_name}")
        if not 0 <= self.label_smoothing < 1:
            raise Mistake(
                f"--label_smoothing: expected a probability from 0, below 1, received {self.label_smoothing:g}"
            )
        if task.kind != "write" and self.label_smoothing != LABEL_SMOOTHING:
            raise Mistake(f"--label_smoothing: expected for translation, received for {task_name}")
        positive(epochs=self.epochs, batch_size=self.batch_size, accumulate=self.accumulate)
        positive(learning_rate=self.learning_rate, patience=self.patience, epsilon=self.epsilon)
        if not 0 < self.layer_decay <= 1:
            raise Mistake(f"--layer_decay: expected more than 0, 1 at most, received {self.layer_decay}")
        positive(average=self.average)
        one_of("keep", self.keep, ("last", "best"))
        one_of("best_by", self.best_by, ("score", "loss"))
        if self.best_by == "loss" and task.target in ("answers", "tags"):
            raise Mistake(f"--best_by loss: expected for tasks that are scored by it, too, received for {task_name}")
        if self.average and (self.keep == "best" or self.average > self.epochs):
            received = "--keep best" if self.keep == "best" else f"--epochs {self.epochs}"
            raise Mistake(
                f"--average {self.average}: expected as many epochs or more, the last of which are kept; received {received}"
            )
        one_of("optimizer", self.optimizer, ("adamw", "sgd"))
        one_of("schedule", self.schedule, ("linear", "cosine", "inverse_square_root", "constant"))
        if not self.clip_norm >= 0:
            raise Mistake(f"--clip_norm: expected 0 or more, received {self.clip_norm}")
        if dev is None and (self.patience or self.keep == "best"):
            raise Mistake(
                f"--{'patience' if self.patience else 'keep best'}: expected --dev to score on, received none"
            )
        if not self.weight_decay >= 0:
            raise Mistake(f"--weight_decay: expected 0 or more, received {self.weight_decay}")
        within_seeds(self.seed)
        if not 0 <= self.warmup <= 1:
            raise Mistake(f"--warmup: expected a share from 0 to 1, received {self.warmup}")


@dataclass(kw_only=True)
class Device:
    """Device"""

    threads: int | None = without_effect(None)
    """That compute an operation, and operations at once (default: as many as there are cores); the last bits of a result depend on it."""
    precision: str = PRECISIONS[0]
    """Of what layers compute: float32, mixed_bfloat16, or mixed_float16 with loss scaling; weights and losses are float32. Faster on GPUs and on CPUs that multiply such numbers; elsewhere slower."""
    recompute: str = without_effect(RECOMPUTE[0])
    """Compute the layers of a Transformer anew for the gradient, instead of keeping what they give: yes, no, or auto, where that does not fit into the memory that is free (never on a GPU). A step takes a third longer; the last bits of a result depend on it."""
    gpu_memory: int | None = without_effect(None)
    """MB to take of the GPU at once (default: as much as is needed, growing)."""

    def check_device(self) -> None:
        positive(threads=self.threads, gpu_memory=self.gpu_memory)
        one_of("precision", self.precision, PRECISIONS)
        one_of("recompute", self.recompute, RECOMPUTE)


@dataclass(kw_only=True)
class RunFolder:
    """Run folder"""

    out: str = without_effect()
    """Run folder to write."""
    checkpoint_every: float = without_effect(60.0)
    """Seconds between checkpoints; no result depends on it."""
    dry_run: bool = without_effect(False)
    """Print the plan; train nothing, fetch nothing, write nothing."""
    overwrite: bool = without_effect(False)
    """Delete the run that the folder holds, and start anew."""

    def check_run_folder(self) -> None:
        if not self.checkpoint_every >= 0:
            raise Mistake(f"--checkpoint_every: expected 0 seconds or more, received {self.checkpoint_every}")
