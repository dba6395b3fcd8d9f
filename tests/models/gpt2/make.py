"""Makes this folder's files: a tiny GPT-2 of random weights as transformers saves it, and what transformers answers.

python tests/models/gpt2/make.py      (in the environment of requirements-peers.txt)
"""

from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

HERE = Path(__file__).parent

if __name__ == "__main__":
    torch.manual_seed(0)
    settings = {"vocab_size": 24, "n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 16, "n_inner": 20}
    model = GPT2LMHeadModel(GPT2Config(**settings, bos_token_id=2, eos_token_id=3)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(HERE)
    ids = np.random.default_rng(0).integers(0, 24, [3, 12])
    with torch.no_grad():
        logits = model(torch.tensor(ids)).logits.numpy()
    np.savez(HERE / "answers.npz", ids=ids.astype(np.int32), logits=logits)
