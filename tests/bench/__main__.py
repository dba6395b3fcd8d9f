"""`make bench`: how fast we train and answer, and in how much memory, beside the peers and beside what this machine can do.

    python -m tests.bench [--only sst2 windows] [--rounds 3] [--to build/bench] [--docs]     (in the environment of requirements-peers.txt)
    python -m tests.bench --drawn build/bench [--docs]                                       (tables and picture anew of what was measured)

Measures, each in a process of its own, in turn: machine (products of matrices, memory), sst2, windows (fine-tuning; of windows
of 384 the memory, too), texts (one text, strings over gRPC and bare encoders), base (BERT-base, 32 x 128). All contenders of a
measure take turns, and of each the best round counts. Two threads; about fifteen minutes on two cores. Leaves figures.json and
picture.png in `--to`, prints all tables last; `--docs` puts them into docs/results.md and docs/results.zh.md.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import markdown, picture
from tests.bench.report import Measure, Report, tables
from tests.bench.titles import MEASURES

NAMES = ("machine", "sst2", "windows", "texts", "base")
PACKAGES = ("tensorflow", "keras", "torch", "transformers", "keras-hub", "onnxruntime")
FIGURES, PICTURE = "figures.json", "picture.png"
DOCS, DRAWN = Path(__file__).parents[2] / "docs", "speed.png"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--rounds", type=int, default=3, help="of each contender, after one that warms up")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of a contender in a round, where its runs are short"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", type=Path, help="run of sentiment to serve; by default one is trained")
    parser.add_argument("--to", type=Path, default=Path("build/bench"), help="folder")
    parser.add_argument("--drawn", type=Path, help="measure nothing: show what lies in this folder")
    parser.add_argument("--docs", action="store_true", help="write into docs/, too")
    options = parser.parse_args()
    folder = options.drawn or options.to
    if options.drawn and not (folder / FIGURES).is_file():
        parser.error(f"--drawn: expected a folder with {FIGURES}, received {folder}")
    report = Report.of(json.loads((folder / FIGURES).read_text())) if options.drawn else measured(options)
    draw(report, folder / PICTURE)
    if options.docs:
        markdown.write(report, DOCS, DRAWN)
        draw(report, DOCS / DRAWN)
    print(said(report))


def measured(options):
    """Returns the report of what a run of each measure found; what there is of it lies in the folder after each."""
    load, begun = os.getloadavg()[0], time.monotonic()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    about = {
        "machine": processor(),
        "threads": options.threads,
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }
    about |= {"python": platform.python_version(), "command": f"python -m tests.bench {' '.join(sys.argv[1:])}".strip()}
    report = Report(about, [])
    options.to.mkdir(parents=True, exist_ok=True)
    flags = [
        f"--{name}={value}" for name in ("rounds", "seconds", "threads", "run") if (value := getattr(options, name))
    ]
    for name in options.only:
        print(f"{name} ({time.monotonic() - begun:.0f} s)", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FIGURES
            command = [sys.executable, "-m", "tests.bench.measures", name, "--json", str(path), *flags]
            if status := subprocess.run(command, check=False).returncode:
                print(
                    f"{name}: ended with {status}; {options.to / FIGURES} has the measures before it", file=sys.stderr
                )
                sys.exit(status if status > 0 else 1)
            report.measures += [Measure(**measure) for measure in json.loads(path.read_text())]
        about |= {"load": [load, os.getloadavg()[0]], "seconds": round(time.monotonic() - begun)}
        (options.to / FIGURES).write_text(json.dumps(report.content(), indent=1))
    return report


def draw(report, path):
    """Draws the picture, or says why not."""
    try:
        path.write_bytes(picture.png(report))
    except ModuleNotFoundError as error:
        print(
            f"{path}: not drawn ({error}); python -m tests.bench --drawn FOLDER draws it where there is",
            file=sys.stderr,
        )


def said(report):
    """Returns what is printed at the end."""
    about = report.about
    lines = [tables(report, {key: english for key, (english, _) in MEASURES.items()}), ""]
    lines += [
        f"{about['machine']}; {about['threads']} threads; load {about['load'][0]:.1f} before, {about['load'][1]:.1f} after"
    ]
    lines += [", ".join(f"{name} {version}" for name, version in about["versions"].items())]
    lines += ["the machine was busy with other programs: compare nothing"] * report.busy
    return "\n".join([*lines, f"{about['seconds']} s; {about['command']}"])


def processor():
    """Returns the processor: its name, and what of it decides how fast matrices are multiplied."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown processor"
    of = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", text, re.MULTILINE))
    flags = of.get("flags", of.get("Features", "")).split()
    known = [
        flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve") if flag in flags
    ]
    family = f" (family {of['cpu family']}, model {of['model']})" if "cpu family" in of else ""
    return f"{of.get('model name', 'unknown processor')}{family}; {', '.join(known)}"


if __name__ == "__main__":
    main()
