"""transformers on PyTorch: fine-tuning steps and encoders, as their documentation has them. Imports no TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import BertForQuestionAnswering, BertForSequenceClassification
from transformers.utils import logging

logging.set_verbosity_error()  # of heads that are new, and progress bars
logging.disable_progress_bar()
NAMES = {"token_ids": "input_ids", "segment_ids": "token_type_ids", "mask": "attention_mask"}


def tensors(inputs):
    """Returns the arguments of a model."""
    return {theirs: torch.from_numpy(np.asarray(inputs[ours]).astype(np.int64)) for ours, theirs in NAMES.items()}


def torch_step(model: torch.nn.Module, loss_of: Callable[[Any], torch.Tensor], rate: float) -> Callable[[Any], float]:
    """Returns a step, batch -> loss: forward, backward, clipping at 1, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)

    def step(batch):
        loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def finetuning(folder, task, classes):
    """Returns batches -> what makes a step of each, with the attention that transformers takes by itself (sdpa)."""
    if task == "qa":
        model = BertForQuestionAnswering.from_pretrained(folder).train()
        labels = lambda targets: {
            "start_positions": torch.tensor(targets[:, 0], dtype=torch.long),
            "end_positions": torch.tensor(targets[:, 1], dtype=torch.long),
        }
    else:
        model = BertForSequenceClassification.from_pretrained(folder, num_labels=classes).train()
        labels = lambda targets: {"labels": torch.tensor(targets, dtype=torch.long)}
    step = torch_step(model, lambda batch: model(**batch).loss, 1e-4)

    def ready(batches):
        given = [tensors(inputs) | labels(targets) for inputs, targets in batches]
        return lambda: [step(batch) for batch in given]

    return ready


def encoder(model, inputs):
    """Returns what computes the last states of inputs."""
    given = tensors(inputs)

    def run():
        with torch.inference_mode():
            return model(**given).last_hidden_state

    return run
