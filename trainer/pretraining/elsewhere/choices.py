"""The options of `trainer.pretraining.elsewhere.train`. Imports no framework."""

import os
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(kw_only=True)
class Options:
    """Of the program; the fields are its flags."""

    folder: str
    out: str
    steps: int | None = None
    """Of the optimiser; without it as many as `seconds` have room for."""
    seconds: float | None = None
    """That all of it may take: the rate is measured before the first step, and the learning rate falls to 0 at the end."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float = 0.0
    precision: str = "float32"
    """float32; or mixed_bfloat16, where the device gains by it."""
    rounds: int = 20
    """How often it is scored."""
    float16: bool = False
    """Keep the weights as such numbers; they are scored as they are kept."""
    processes: int = max((os.cpu_count() or 1) - 2, 0)
    """That draw batches; 0: this one does. No result depends on it."""
    checkpoint_every: float = 60.0
    """Seconds."""
    overwrite: bool = False

    WITHOUT_EFFECT: ClassVar = ("folder", "out", "processes", "checkpoint_every", "overwrite")

    def of_result(self) -> dict[str, Any]:
        """Returns those that change the result."""
        return {name: value for name, value in asdict(self).items() if name not in self.WITHOUT_EFFECT}
