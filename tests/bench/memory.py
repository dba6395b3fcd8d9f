"""How much memory `python -m trainer corpus` takes, and how long, of texts of several sizes.

    python -m tests.bench.memory [--sizes 20 200 2000] [--cores 1] [--folder /tmp]

Each text, so many MB, is made of the sentences of novels ($LINEAGE_DATA/text-en), drawn anew for each paragraph from a seeded
generator: no two paragraphs are equal, the words are as frequent as in the novels. It is cut by BERT's vocabulary in a process
of its own, of which /proc says ten times a second how much memory of its own it has (`RssAnon`: that of files which are mapped
is the system's, and is let go when another asks for it) and at the end how much it ever had with that of files (`VmHWM`). Texts
and shards lie in a temporary folder and are deleted. Prints its table last.
"""

import argparse
import json
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

READ = 60_000  # paragraphs of novels
ROOM = 3  # times the size of a text that the disk must have: text and shards
EVERY = 0.1  # seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 200, 2000], help="MB")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--folder", help="for temporary files")
    options = parser.parse_args()
    data = Path(os.environ["LINEAGE_DATA"])
    sentences = sentences_of(data / "text-en" / "novels_to_1929.txt.xz")
    vocabulary = data / "vocab" / "bert-base-uncased" / "vocab.txt"
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            free = shutil.disk_usage(folder).free
            if free < ROOM * size * 1e6:
                sys.exit(f"{folder}: expected room for {ROOM * size} MB, found {free / 1e6:.0f} MB")
            write(Path(folder) / "text.txt", sentences, size * 10**6)
            rows.append((size, *measured(Path(folder), vocabulary, options.cores)))
            print(f"{size} MB: {rows[-1][1]:.0f} s, {rows[-1][2] / 1e3:.0f} MB", file=sys.stderr)
    print(
        f"\n{'MB of text':>10}{'paragraphs':>12}{'repeated':>10}{'pieces':>14}{'shards':>8}{'seconds':>9}{'MB/s':>7}",
        end="",
    )
    print(f"{'MB of its own':>15}{'with files':>12}")
    for size, seconds, own, whole, found in rows:
        print(f"{size:>10,}{found['paragraphs']:>12,}{found['repeated_paragraphs']:>10,}{found['pieces']:>14,}", end="")
        print(f"{found['shards']:>8}{seconds:>9.0f}{size / seconds:>7.2f}{own / 1e3:>15.0f}{whole / 1e3:>12.0f}")
    print(f"run by: python -m tests.bench.memory --cores {options.cores}")


def sentences_of(path):
    """Returns the sentences of the first novels, roughly: no statistics hang on where they end."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [
            sentence for line in islice(file, READ) for sentence in re.split(r"(?<=[.!?]) ", line.strip()) if sentence
        ]


def write(path, sentences, size):
    """Writes a text of so many bytes: paragraphs of three to nine sentences, documents of one to fifty paragraphs."""
    draw, written = random.Random(size), 0
    with open(path, "w", encoding="utf-8") as file:
        while written < size:
            lines = [" ".join(draw.choices(sentences, k=draw.randint(3, 9))) for _ in range(draw.randint(1, 50))]
            document = "\n".join(lines) + "\n\n"
            written += len(document.encode())
            file.write(document)


def measured(folder, vocabulary, cores):
    """Returns (seconds, kB of its own at most, kB with those of files, what the command printed) of a text in a folder."""
    options = ("--text", folder / "text.txt", "--vocabulary", vocabulary, "--cores", cores)
    command = [sys.executable, "-m", "trainer", "corpus", *map(str, options)]
    environment = os.environ | {"LINEAGE_CACHE": str(folder / "cache")}
    begun, own, whole = time.monotonic(), 0, 0
    with open(folder / "found", "w+") as found:
        process = subprocess.Popen(command, stdout=found, env=environment)
        while process.poll() is None:
            status = dict(re.findall(r"^(RssAnon|VmHWM):\s*(\d+) kB", status_of(process.pid), re.MULTILINE))
            own = max(own, int(status.get("RssAnon", 0)))
            whole = max(whole, int(status.get("VmHWM", 0)))
            time.sleep(EVERY)
        seconds = time.monotonic() - begun
        if process.returncode:
            sys.exit(f"the command ended with {process.returncode}")
        found.seek(0)
        return seconds, own, whole, json.loads(found.read().splitlines()[-1])


def status_of(number):
    """Returns what /proc says of a process; nothing of one that is gone."""
    try:
        return Path(f"/proc/{number}/status").read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
