"""Does a run that was killed end as one that was not? Kills runs at random moments and compares what comes out, to the bit.

    python -m tests.bench.resume [--kills 20] [--while_saving 5] [--terms 3] [--minilm] [--seed 0]

By default a tiny BERT on sentences written here; `--minilm`: MiniLM on the first 512 sentences of SST-2.
Of the `--kills` runs, `--while_saving` get SIGKILL while a checkpoint is being written (its unfinished file must be there
after the death), the others at a moment drawn from the whole life of an undisturbed run, its start included; `--terms`
runs get SIGTERM instead. Each is then given the same command again until it ends. Printed for every run: when it was
killed, the step that it went on from, the digest that the run gives itself (weights, optimiser, metrics, the kept weights),
and one of its files taken here. Ends with status 1 if one differs.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, "-m", "trainer", "finetune", "sentiment"]
LIMIT_S = 900  # of one process


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--while_saving", type=int, help="of the kills; default: a quarter")
    parser.add_argument("--terms", type=int, default=3, help="runs that get SIGTERM")
    parser.add_argument("--minilm", action="store_true")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    if options.while_saving is None:
        options.while_saving = options.kills // 4
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="lineage-resume.") as folder:
        rows = compare(Path(folder), options, draw)
    print_table(rows)
    reference, repeated = rows[0], [row for row in rows[1:] if row["kind"] != "another seed"]
    different = [row for row in repeated if row["digests"] != reference["digests"]]
    changed = [row for row in rows if row["kind"] == "another seed" and row["digests"][0] != reference["digests"][0]]
    saving = [row for row in rows if row["kind"] == "SIGKILL while saving"]
    print(
        f"{len(repeated) - len(different)} of {len(repeated)} runs equal to the first undisturbed one, bit for bit "
        f"({options.kills} killed, {len(saving)} of them while saving; {options.terms} terminated; 2 undisturbed); "
        f"another seed gives {'another' if changed else 'THE SAME'} digest"
    )
    print("run by: python -m tests.bench.resume " + " ".join(sys.argv[1:]))
    sys.exit(1 if different or not changed or len(saving) != options.while_saving else 0)


def compare(folder, options, draw):
    """Trains all runs; returns a dict for each, the undisturbed one first."""
    command = command_of(folder, options)
    rows = []

    def record(kind, run, when="", flags=()):
        result, resumed = finish([*command, *flags], run)
        rows.append({"kind": kind, "when": when, "resumed": resumed, "digests": digests(run, result)})
        print(f"{len(rows):>3} {kind} {when}, {resumed}: {rows[-1]['digests'][0]}", file=sys.stderr, flush=True)

    began = time.monotonic()
    record("undisturbed", folder / "0")
    duration = time.monotonic() - began
    for i in (1, 2):
        record("undisturbed", folder / f"same{i}")
    moments = [("SIGKILL while saving", None)] * options.while_saving
    moments += [("SIGKILL", draw.uniform(0, duration)) for _ in range(options.kills - options.while_saving)]
    moments += [("SIGTERM", draw.uniform(0, duration)) for _ in range(options.terms)]
    draw.shuffle(moments)
    for i, (kind, moment) in enumerate(moments):
        run = folder / f"killed{i}"
        for _ in range(5):  # the run may end before its moment
            when = disturb(command, run, kind, moment, draw)
            if when:
                break
            shutil.rmtree(run, ignore_errors=True)
        assert when, f"no {kind} hit the run in five trials"
        record(kind, run, when)
    record("another seed", folder / "other", flags=["--seed=2"])
    return rows


def command_of(folder, options):
    """Returns the command line of the runs, without --out."""
    flags = ["--checkpoint_every=0", "--keep=best"]
    if options.minilm:
        flags += ["--init=minilm", "--train=sst2", "--dev=sst2", "--limit=512", "--epochs=2", "--learning_rate=1e-4"]
    else:
        subprocess.run(
            [sys.executable, "-c", "import sys; from pathlib import Path; from tests.conftest import *; f = Path(sys.argv[1]);"
             "write_bert_folder(f / 'tiny'); write_examples(f / 'train.txt', 500); write_examples(f / 'dev.txt', 60, 1)",
             str(folder)], cwd=ROOT, check=True,
        )  # fmt: skip
        flags += [f"--init={folder / 'tiny'}", f"--train={folder / 'train.txt'}", f"--dev={folder / 'dev.txt'}"]
        flags += ["--epochs=8", "--batch_size=4", "--accumulate=2", "--max_length=16", "--learning_rate=1e-3"]
    return [*TRAIN, "--seed=1", *flags]


def disturb(command, run, kind, moment, draw):
    """Starts a run and kills it; returns when, in words, or None if it ended before."""
    process = subprocess.Popen(
        [*command, f"--out={run}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    began = time.monotonic()
    if moment is None:
        stop_while_saving(process, run / "checkpoint", draw.randint(1, 4))
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
    process.send_signal(signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL)  # no effect if it has ended
    status = process.wait(LIMIT_S)
    seconds = time.monotonic() - began
    if status == 0:
        return None
    # SIGTERM: by the handler, or before it is installed
    expected = (143, -signal.SIGTERM) if kind == "SIGTERM" else (-signal.SIGKILL,)
    assert status in expected, f"{kind} gave status {status}"
    if moment is None:
        return f"after {seconds:.2f} s, writing {unfinished_files(run / 'checkpoint')[0]}"
    return f"after {seconds:.2f} s, {progress_of(run)}"


def stop_while_saving(process, folder, count):
    """Stops the process (SIGSTOP) while the `count`-th unfinished file is seen, or returns when it has ended.

    Polling a running process may be too slow: it is stopped every few milliseconds, examined, and continued if it is not
    saving.
    """
    seen = set()
    while process.poll() is None:
        time.sleep(0.002)
        if not folder.exists():
            continue
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        unfinished = unfinished_files(folder)
        seen.update(unfinished)
        if unfinished and len(seen) >= count:
            return
        process.send_signal(signal.SIGCONT)


def unfinished_files(folder):
    """Returns the names of the unfinished files in a folder, which may not exist."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(".part")]
    except FileNotFoundError:
        return []


def progress_of(run):
    """Returns the progress of a run, in words, from its folder."""
    if not run.exists():
        return "before its folder was there"
    checkpoints = sorted((run / "checkpoint").glob("step-*.safetensors"))
    return f"with {checkpoints[-1].stem}" if checkpoints else "before its first checkpoint"


def finish(command, run):
    """Runs the command to its end; returns (result, where it resumed)."""
    process = subprocess.run(
        [*command, f"--out={run}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert process.returncode == 0, process.stderr
    resumed = re.search(r"^resume +(from step \d+)", process.stderr, re.M)
    return json.loads(process.stdout), resumed[1] if resumed else "from the start"


def digests(run, result):
    """Returns the digest that the run reports, and one of the bytes of its weights, its log and its result."""
    hasher = hashlib.sha256()
    for name in ("model.safetensors", "metrics.jsonl"):
        hasher.update((run / name).read_bytes())
    hasher.update(json.dumps(result | {"seconds": None}, sort_keys=True).encode())
    leftovers = [path.name for path in run.rglob("*.part")] + [path.name for path in run.glob("checkpoint")]
    assert not leftovers, f"{run} still holds {leftovers}"
    return result["digest"], hasher.hexdigest()[:16]


def print_table(rows):
    print(f"{'':>3} {'run':21} {'digest':17} {'of its files':17} disturbed")
    for i, row in enumerate(rows, 1):
        when = f"{row['when']}; went on {row['resumed']}" if row["when"] else ""
        print(f"{i:>3} {row['kind']:21} {row['digests'][0]:17} {row['digests'][1]:17} {when}")


if __name__ == "__main__":
    main()
