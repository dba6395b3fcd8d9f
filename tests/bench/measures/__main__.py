"""One measure, in a process of its own: `tests.bench` starts it.

python -m tests.bench.measures NAME --json FILE [--rounds 3] [--seconds 1] [--threads 2] [--run RUN]
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)

    from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow
    from tests.bench.turns import limit_threads
    from trainer.errors import Failure, Mistake

    limit_threads(options.threads)
    try:
        measures = import_module(f"tests.bench.measures.{options.name}").measure(options)
    except (Mistake, Failure) as error:  # no data, no run
        print(error, file=sys.stderr)
        sys.exit(2)
    options.json.write_text(json.dumps([asdict(measure) for measure in measures]))


if __name__ == "__main__":
    main()
