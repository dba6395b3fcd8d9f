"""Training: raw strings -> word pieces -> model -> run folder. From the command line: `python -m trainer --help`.

From Python:
    trainer.finetune("sentiment", train="sst2", dev="sst2", init="minilm", out="runs/sst2")
    trainer.load("runs/sst2").predict(["a fine film"])
    model, reader = trainer.from_preset("minilm", task="sentiment")
"""

from trainer.library import Trained, finetune, from_preset, load

__all__ = ["Trained", "finetune", "from_preset", "load"]
