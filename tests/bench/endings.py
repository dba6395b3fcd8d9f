"""SIGTERM under load, many times: is every request answered that was sent before it?

    python -m tests.bench.endings [--times 100] [--clients 8] [--seconds 0.5] [--workers 1] [--export DIR]

Each time: starts `python -m serving.server` with half_plus_two (or the sentiment model in DIR), lets so many clients ask
without a pause and without retries, sends SIGTERM after so many seconds, and waits until the server has ended. Requests
sent before the signal must be answered; later ones may also get UNAVAILABLE. Prints its table last; ends with 1 if one
failed otherwise, or a server ended with another status than 0.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tests.bench.load import Load
from tests.conftest import Server
from tests.serving.saved import save_half_plus_two


def once(server, inputs, options):
    """Ends one server under load; returns (requests, failed before the signal, results after it, status, seconds to end)."""
    load = Load(server.address, "m", inputs, options.clients)
    time.sleep(options.seconds)
    signalled = time.monotonic()
    server.process.terminate()
    status = server.stop()
    seconds = time.monotonic() - signalled
    load.stop()
    before = load.failed(signalled)
    return load.sent, before, load.failed() - before, status, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="of load before the signal")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--export", type=Path, help="base path of a sentiment model")
    options = parser.parse_args()
    sent, before, after, wrong, seconds = 0, Counter(), Counter(), Counter(), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
        if options.export:
            base, inputs = options.export, {"text": np.array([b"a good film", b""], object)}
        else:
            base, inputs = Path(folder), {"x": np.ones([3, 1], np.float32)}
            save_half_plus_two(base / "1")
        flags = ("--model_name=m", f"--model_base_path={base}", f"--workers={options.workers}")
        coming = threads.submit(Server, *flags)
        for i in range(options.times):
            server = coming.result()
            if i + 1 < options.times:
                coming = threads.submit(Server, *flags)  # starts while this one is ended
            count, failed, later, status, took = once(server, inputs, options)
            sent, before, after = sent + count, before + failed, after + later
            wrong[status] += 1
            seconds.append(took)
            if (i + 1) % 10 == 0:
                print(f"{i + 1} endings, {sent} requests, failed, sent before the signal: {dict(before)}", flush=True)
    refused = Counter({result: count for result, count in after.items() if result.startswith("UNAVAILABLE")})
    print(f"\nendings                            {options.times}, with status {dict(wrong)}")
    print(f"seconds from the signal to the end {np.median(seconds):.2f} (median), {max(seconds):.2f} (most)")
    print(f"requests                           {sent}")
    print(f"failed, sent before the signal     {before.total()} {dict(before) or ''}")
    print(f"UNAVAILABLE, sent after it         {refused.total()} {dict(refused)}")
    print(f"failed otherwise, sent after it    {(after - refused).total()} {dict(after - refused) or ''}")
    sys.exit(1 if before or after - refused or set(wrong) - {0} else 0)


if __name__ == "__main__":
    main()
