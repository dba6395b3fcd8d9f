"""Question answering in contexts of growing length: seconds, memory, and whether the answer is that of its paragraph alone.

Each context ends in the paragraph that holds the answer; before it stand other paragraphs of the file, of other articles.
Run: python -m tests.bench.contexts --run runs/qa --data dev-v1.1.json
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow
from serving.export import export
from serving.server.models.servable import Servable
from trainer.data import files
from trainer.tasks.table import TASKS

LENGTHS = (0, 500, 5_000, 50_000)  # words of filler before the paragraph


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--questions", type=int, nargs=4, default=[50, 50, 20, 3], help="of each length")
    options = parser.parse_args()
    rows = files.read(options.data, TASKS["qa"], files.ANY)
    paragraphs = list(dict.fromkeys(row["context"] for row in rows))
    with tempfile.TemporaryDirectory() as folder:
        servable = Servable(export(options.run, Path(folder) / "qa", null_threshold=1.0)["path"])

    def ask(question, context):
        inputs = {"question": [question], "context": [context]}
        encoded = {name: np.array([text.encode() for text in texts], object) for name, texts in inputs.items()}
        answer = servable.predict("serving_default", encoded)
        return int(answer["start"][0]), int(answer["end"][0]), answer["answer"][0].decode()

    ask(rows[0]["question"], rows[0]["context"])
    base = memory()
    answered = [row for row in rows[:400] if ask(row["question"], row["context"])[2] in golds(row)]
    if not answered:
        raise SystemExit(f"{options.run} answers none of the first 400 questions of {options.data} rightly")
    table = []
    for words, number in zip(LENGTHS, options.questions, strict=True):
        same_span = still_right = 0
        seconds = []
        for row in answered[:number]:
            prefix = filler(paragraphs, row["context"], words)
            alone = ask(row["question"], row["context"])
            began = time.monotonic()
            start, end, text = ask(row["question"], prefix + row["context"])
            seconds.append(time.monotonic() - began)
            assert (prefix + row["context"])[start:end] == text
            same_span += (start - len(prefix), end - len(prefix), text) == alone
            still_right += text in golds(row)
        table.append((words, len(seconds), same_span, still_right, np.mean(seconds), memory() - base))
    print(f"\n{options.run}, exported; questions answered rightly in their paragraph alone; {__doc__.splitlines()[-1]}")
    print(
        f"{'words before':>12} {'questions':>10} {'same span':>10} {'still right':>12} {'s each':>8} {'ms/1,000 words':>15} {'MB more':>8}"
    )
    for words, number, same_span, still_right, seconds, added in table:
        rate = f"{1e6 * seconds / words:.0f}" if words else ""
        print(f"{words:>12,} {number:>10} {same_span:>10} {still_right:>12} {seconds:>8.2f} {rate:>15} {added:>8.0f}")


def golds(row):
    """Returns the texts of the gold answers."""
    return {answer["text"] for answer in row["answers"]}


def filler(paragraphs, context, words):
    """Returns that many words of paragraphs far from `context` in the file, and so of other articles."""
    index, lines, count = paragraphs.index(context), [], 0
    far = paragraphs[index + 200 :] + paragraphs[: max(index - 200, 0)] or [p for p in paragraphs if p != context]
    while count < words:
        for paragraph in far:
            if count >= words:
                break
            added = paragraph.split()[: words - count]
            lines.append(" ".join(added))
            count += len(added)
    return "".join(line + "\n" for line in lines)


def memory():
    """Returns the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
