"""What a run reads: files of data and folders of weights."""

from dataclasses import dataclass
from pathlib import Path

from trainer.data import classes, datasets
from trainer.errors import Mistake
from trainer.options import Finetune
from trainer.weights import hub


@dataclass(frozen=True)
class Sources:
    """The files and folders that a run reads, found by the names that were given for them."""

    train: Path
    dev: Path | None
    init: Path | None
    vocabulary: Path | None
    class_weights: Path | None
    embeddings: Path | None
    names: dict[str, str | None]  # by which readers elsewhere know them, see `datasets.title`

    @classmethod
    def of(cls, options: Finetune) -> "Sources":
        fetch = not options.dry_run
        train = datasets.path_of(options.train, "train", options.task, fetch=fetch)
        dev = datasets.path_of(options.dev, "dev", options.task, fetch=fetch) if options.dev else None
        init = hub.folder_of(options.init, fetch=fetch) if options.init else None
        vocabulary = hub.vocabulary_of(options.vocabulary, fetch=fetch) if options.vocabulary else None
        names: dict[str, str | None] = {"train": datasets.title(options.train, "train")}
        if options.dev:
            names["dev"] = datasets.title(options.dev, "dev")
        names["init"] = options.init and hub.repository_of(options.init)
        weights = options.class_weights
        file = Path(weights) if weights and weights != classes.BALANCED else None
        embeddings = Path(options.embeddings) if options.embeddings else None
        if embeddings and not embeddings.exists():
            raise Mistake(f"--embeddings {embeddings}: no such file")
        return cls(train, dev, init, vocabulary, file, embeddings, names)

    def inputs(self) -> dict[str, Path]:
        """Returns {option: path} of those that the run has."""
        paths = {
            name: getattr(self, name) for name in ("train", "dev", "init", "vocabulary", "class_weights", "embeddings")
        }
        return {name: path for name, path in paths.items() if path}
