"""Version changes under load, many times: is every request answered, and does the memory stay?

    python -m tests.bench.versions [--times 1000] [--clients 4] [--export DIR]

Starts `python -m serving.server` with half_plus_two (or the sentiment model in DIR); so many clients ask without a pause
and without retries while a new version appears, is served, and the one before it is removed. Prints the server's memory
ten times on the way, and its table last; ends with 1 if a request failed.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from serving.client import Client
from tests.bench.load import Load, memory
from tests.conftest import Server
from tests.serving.saved import save_half_plus_two


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--export", type=Path, help="base path of a sentiment model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder, inputs = Path(folder), {"x": np.ones([3, 1], np.float32)}
        if options.export:
            newest = max(
                (path for path in options.export.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
            )
            shutil.copytree(newest, folder / "model")
            inputs = {"text": np.array([b"a good film", b""], object)}
        else:
            save_half_plus_two(folder / "model")
        (folder / "base").mkdir()
        (folder / "base" / "1").symlink_to(folder / "model")
        flags = ("--model_name=m", f"--model_base_path={folder / 'base'}", "--file_system_poll_wait_seconds=0.02")
        server = Server(*flags)
        passed = change(server, folder, inputs, options)
        server.process.kill()
    sys.exit(0 if passed else 1)


def change(server, folder, inputs, options):
    """Changes the version so many times; returns whether no request failed."""
    threading.Thread(target=server.process.stderr.read, daemon=True).start()  # else it would wait for a reader
    load, client = Load(server.address, "m", inputs, options.clients), Client(server.address)
    began, figures = time.monotonic(), [(0, memory(server.process.pid), 0)]
    for version in range(2, options.times + 2):
        (folder / "base" / str(version)).symlink_to(folder / "model")
        while not any(status.version == version and status.state == "AVAILABLE" for status in client.status("m")):
            time.sleep(0.005)
        (folder / "base" / str(version - 1)).unlink()
        if (version - 1) % max(options.times // 10, 1) == 0:
            figures.append((version - 1, memory(server.process.pid), load.sent))
            print("{} changes: {} MB, {} requests".format(*figures[-1]), flush=True)
    seconds = time.monotonic() - began
    load.stop()
    failed = load.failed()
    print(f"\n{'changes':>8}{'MB':>8}{'requests':>12}")
    for row in figures:
        print(f"{row[0]:>8}{row[1]:>8}{row[2]:>12}")
    print(f"{load.sent} requests in {seconds:.0f} s, failed: {failed.total()} {dict(failed) or ''}")
    return not failed


if __name__ == "__main__":
    main()
