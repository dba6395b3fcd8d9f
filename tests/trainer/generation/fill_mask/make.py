"""Makes this folder's `answers.json`: what the fill-mask pipeline of transformers answers with the weights of nano.

python tests/trainer/generation/fill_mask/make.py      (in the environment of requirements-peers.txt)
"""

import json
from pathlib import Path

import torch
from transformers import BertForMaskedLM, BertTokenizer, pipeline

HERE = Path(__file__).parent
NANO = HERE.parents[3] / "trainer" / "weights" / "nano"
TEXTS = [
    "Paris is the capital of [MASK].",
    "[MASK] is my favourite colour.",
    "She opened the [MASK] and looked out.",
    "The king was [MASK]ing of his son",
    'He said: "I don\'t [MASK] you!"',
    "Naïve caf\u00e9s (e.g. the [MASK] ones) cost 3.50 € each...",
    "[MASK]",
    "今天天气很[MASK]。",
    "他是一位著名的[MASK]家。",
    "[MASK]国的首都是北京。",
    "这个 [MASK] 用 Python 写成，运行在 Linux 上。",
    "“你去哪里[MASK]？”她问道：「我不知道」",
    "我[MASK]你",
    "早晨的" * 30 + "[MASK]",
]

if __name__ == "__main__":
    torch.set_num_threads(1)
    model = BertForMaskedLM.from_pretrained(NANO, dtype=torch.float32)
    tokenizer = BertTokenizer.from_pretrained(NANO)
    fill = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=10)
    rows = []
    for text in TEXTS:
        found = [one for one in fill(text) if one["token"] not in tokenizer.all_special_ids][:5]
        scores = [float(f"{one['score']:.7g}") for one in found]
        rows.append(
            {"text": text, "tokens": tokenizer.convert_ids_to_tokens([one["token"] for one in found]), "scores": scores}
        )
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / "answers.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
