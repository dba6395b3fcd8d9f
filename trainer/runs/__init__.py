"""The run folder, and a trained model from it. Its files are named here, where no framework is imported."""

BEGUN = ("config.json", "vocab.txt", "tokenizer_config.json", "labels.txt")  # written before the first step
# What training writes, in the order of its deletion: first what says how far the run is.
TRAINED = ("metrics.json", "checkpoint", "metrics.jsonl", "tensorboard", "model.safetensors")
PRETRAINING = "pretraining"  # the task of a run that learned from plain text
