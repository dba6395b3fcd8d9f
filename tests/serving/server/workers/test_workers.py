"""Several workers on one port: all answer, take over a configuration together or not at all, and are replaced and ended."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import pytest

from serving.client import Client
from serving.server.configuration.follow import Follower
from serving.server.workers.reload import Reload
from serving.server.workers.supervisor import Supervisor
from tests.conftest import ROOT, Server, free_port, wait_for
from tests.serving.harm import method, request, save_odd_model, texts

QUICK, SLOW = (request("odd", {"text": texts(*[b"a"] * size)}, "slow") for size in (1, 100))  # 2 ms and 0.2 s


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    save_odd_model(folder / "odd" / "1")
    return folder


def config_of(folder, *names):
    models = " ".join(f'config {{ name: "{name}" base_path: "{folder / name}" }}' for name in names)
    return f"model_config_list {{ {models} }}"


@pytest.fixture(scope="module")
def server(folder):
    file = folder / "models.config"
    file.write_text(config_of(folder, "odd"))
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    rest = free_port()
    flags = (
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=0.2",
        f"--grpc_socket_path={folder}/s",
        f"--rest_api_port={rest}",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
    )
    server = Server("--workers=2", *flags)
    server.rest = f"http://localhost:{rest}"
    server.file = file
    yield server  # the last test that needs it ends it
    server.process.kill()


def workers(server):
    """Returns the process numbers of its workers."""
    return children(server.process)


def children(process):
    pid = process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connections(server, count=24):
    """Returns connections, about half of them to each of two workers."""
    separate = [("grpc.use_local_subchannel_pool", 1)]
    return [grpc.insecure_channel(server.address, options=separate) for _ in range(count)]


def codes(channels, data=QUICK, timeout=20.0):
    """Returns the name of the status of a request over each connection."""
    calls = [method(channel).future(data, timeout=timeout) for channel in channels]
    errors = [call.exception() for call in calls]
    return [error.code().name if error else "OK" for error in errors]


def serves(server, name):
    """Returns whether each of many connections finds that model."""
    channels = connections(server)
    found = codes(channels, request(name, {"text": texts(b"a")}, "same"))
    for channel in channels:
        channel.close()
    assert set(found) <= {"OK", "NOT_FOUND"}, found
    return set(found)


def test_both_answer(server):
    assert server.log[-1].startswith(f"serving odd at 0.0.0.0:{server.port}, unix:") and server.log[-1].endswith(
        " with 2 workers"
    )
    assert len(workers(server)) == 2
    channels = connections(server)
    assert set(codes(channels)) == {"OK"}
    os.kill(workers(server)[0], signal.SIGSTOP)
    try:
        found = codes(channels, timeout=1.0)
    finally:
        os.kill(workers(server)[0], signal.SIGCONT)
    assert set(found) == {"OK", "DEADLINE_EXCEEDED"}, found
    assert set(codes(channels)) == {"OK"}
    for channel in channels:
        channel.close()
    with Client(f"unix:{server.file.parent}/s") as client:
        assert client.status("odd")[0].state == "AVAILABLE"


def test_rest_and_the_metrics_of_all(server):
    body = json.dumps({"signature_name": "same", "inputs": ["a"]}).encode()
    for _ in range(10):
        assert json.load(urllib.request.urlopen(f"{server.rest}/v1/models/odd:predict", body)) == {"outputs": ["a"]}
    page = urllib.request.urlopen(f"{server.rest}/monitoring/prometheus/metrics").read().decode()
    assert page.count("# TYPE process_resident_memory_bytes gauge\n") == 1
    memory = re.findall(r'^process_resident_memory_bytes\{worker="(\d)"\} \d+$', page, re.MULTILINE)
    assert memory == ["0", "1"]
    counted = re.findall(
        r'^lineage_requests_total\{worker="\d",model_name="odd",.*entrypoint="REST".* (\d+)$', page, re.MULTILINE
    )
    assert sum(map(int, counted)) == 10, page


def test_another_server_on_the_port(server, folder):
    for more in ((), ("--workers=2",)):
        flags = (f"--port={server.port}", f"--model_base_path={folder / 'odd'}", *more)
        result = subprocess.run([*Server.COMMAND, *flags], cwd=ROOT, capture_output=True, text=True)
        line = f"python -m serving.server: --port {server.port}: cannot be listened on (Address already in use)\n"
        assert (result.returncode, result.stderr) == (2, line)


def test_a_configuration_reaches_all_or_none(server, folder):
    (folder / "two").symlink_to(folder / "odd")
    with Client(server.address, timeout=60) as client:
        assert client.reload(config_of(folder, "odd", "two")) == ["odd", "two"]
        assert serves(server, "two") == {"OK"}
        with pytest.raises(grpc.RpcError) as caught:
            client.reload(config_of(folder, "two", "none"))
        assert caught.value.code().name == "UNKNOWN" and "did not become available" in caught.value.details()
        assert serves(server, "odd") == serves(server, "two") == {"OK"}

        (folder / "three").symlink_to(folder / "odd")
        hampered = workers(server)[0]  # opens no more files, so it alone cannot load the model
        before = resource.prlimit(hampered, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            with pytest.raises(grpc.RpcError) as caught:
                client.reload(config_of(folder, "odd", "three"))
            assert caught.value.code().name == "UNKNOWN", caught.value.details()
        finally:
            resource.prlimit(hampered, resource.RLIMIT_NOFILE, before)
        assert serves(server, "three") == {"NOT_FOUND"} and serves(server, "two") == {"OK"}


def test_a_dead_worker_is_replaced_and_has_the_configuration(server):
    killed = workers(server)[1]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(set(workers(server)) - {killed}) == 2, 120)
    with Client(server.address) as client:
        wait_for(lambda: client.status("two")[0].state == "AVAILABLE")
    assert serves(server, "two") == {"OK"}
    wait_for(lambda: both_listen(server), 120)
    assert serves(server, "two") == {"OK"}


def both_listen(server):
    """Returns whether two sockets listen on the port."""
    port = f":{server.port:04X}"
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return sum(line[1].endswith(port) and line[3] == "0A" for line in lines) == 2


def test_a_changed_file_reaches_all(server, folder):
    (folder / "new").write_text(config_of(folder, "odd", "three"))
    (folder / "new").rename(server.file)
    wait_for(lambda: serves(server, "three") == {"OK"})
    assert serves(server, "two") == {"NOT_FOUND"}


def test_ends_after_the_requests_under_way(server):
    channels = connections(server, 8)
    assert set(codes(channels)) == {"OK"}
    calls = [method(channel).future(SLOW, timeout=60) for channel in channels for _ in range(2)]
    time.sleep(0.2)
    assert server.stop() == 0, server.log
    assert {call.exception() for call in calls} == {None}
    assert sum("ending after the requests under way" in line for line in server.log) == 2
    for channel in channels:
        channel.close()


# Workers that serve nothing: {name: what each does}
TRIVIAL = {
    "waits": "link.follow(None, bytes); link.ready('serving nothing'); signal.pause()",
    "mistaken": "print('no such model', file=sys.stderr); sys.exit(2)",
    "second fails": "link.number and sys.exit(3); link.ready('serving nothing'); signal.pause()",
    "shows pages": (
        "from threading import Thread; link.follow(None, lambda: b'x' * 10**6); link.ready('serving nothing'); time.sleep(0.5); "
        "ask = lambda: [print(len(link.gather()), file=open('pages', 'a')) for _ in range(4)]; "
        "[Thread(target=ask).start() for _ in range(2)]; signal.pause()"
    ),
    "ends once": "link.ready('serving nothing'); time.sleep(0.3); os.path.exists('ended') or (open('ended', 'w'), sys.exit(4)); signal.pause()",
}


def supervised(name, folder):
    """Starts a supervisor of three trivial workers."""
    lines = ("import os, signal, sys, time", "from serving.server.workers.supervisor import Supervisor", f"def serve(link): {TRIVIAL[name]}", "sys.exit(Supervisor(3, serve, grace=5).run())")  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_mistake_is_said_once(tmp_path):
    process = supervised("mistaken", tmp_path)
    assert process.communicate(timeout=20)[1] == "no such model\n" and process.returncode == 2
    process = supervised("second fails", tmp_path)
    process.communicate(timeout=20)
    assert process.returncode == 3


def test_workers_end_with_their_supervisor(tmp_path):
    process = supervised("waits", tmp_path)
    assert process.stderr.readline() == "serving nothing with 3 workers\n"
    left = children(process)
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


def test_signals_and_a_worker_that_ends(tmp_path):
    process = supervised("ends once", tmp_path)
    assert process.stderr.readline() == "serving nothing with 3 workers\n"
    assert re.fullmatch(
        r"worker \d \(process \d+\) ended with status 4; another is started\n", process.stderr.readline()
    )
    wait_for(lambda: len(children(process)) == 3)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1]
    assert process.returncode in (0, 1) and "Traceback" not in err  # these have no requests under way: TERM ends them


def test_large_pages_that_several_workers_ask_for_at_once(tmp_path):
    process = supervised("shows pages", tmp_path)
    try:
        assert process.stderr.readline() == "serving nothing with 3 workers\n"
        pages = tmp_path / "pages"
        wait_for(lambda: pages.exists() and len(pages.read_text().split()) == 24)  # neither waits for the other
        assert pages.read_text().split() == ["3"] * 24
    finally:
        for pid in [*children(process), process.pid]:
            os.kill(pid, signal.SIGKILL)
        process.wait()


def test_the_supervisor_sleeps_until_something_can_be_done():
    supervisor = Supervisor(2, lambda link: None, grace=5, follower=Follower("/nowhere"), seconds=0.0)
    assert supervisor._timeout() > 60  # while the workers load
    supervisor._started = True
    assert supervisor._timeout() == 0  # to look at the file
    supervisor._following = True
    supervisor._due[1] = 0.0
    assert supervisor._timeout() == 0  # to start one again
    supervisor._reload = Reload(("file", b""), [Worker()], lambda error: None)
    assert supervisor._timeout() > 60  # while they take over a configuration
    supervisor._reload.over = True
    assert supervisor._timeout() == 0


class Worker:
    """What the supervisor knows of a worker."""

    def __init__(self):
        self.sent = []

    def send(self, what, value):
        self.sent.append((what, value))


ERROR = ("UNKNOWN", "cannot be loaded")
# Events of three workers (their number, what they say), {worker: what it is told}, and the answer
CASES = [
    ("0 loaded, 1 loaded, 2 loaded, 0 done, 1 done, 2 done", {0: True, 1: True, 2: True}, None),
    ("0 loaded, 1 failed, 2 loaded, 0 done, 2 done", {0: False, 2: False}, ERROR),
    ("0 failed, 1 failed, 2 failed", {}, ERROR),
    (
        "0 loaded, 1 gone, 2 loaded, 2 done, 0 done",
        {0: True, 2: True},
        None,
    ),  # its successor begins with what is served
    ("0 loaded, 1 loaded, 2 loaded, 0 gone, 1 done, 2 gone", {0: True, 1: True, 2: True}, None),
    ("0 gone, 1 gone, 2 gone", {}, ("UNAVAILABLE", "the workers have ended; try again")),
]


@pytest.mark.parametrize("events, told, answer", CASES, ids=[case[0] for case in CASES])
def test_all_or_none(events, told, answer):
    workers, answers = [Worker() for _ in range(3)], []
    reload = Reload(("file", b""), workers, answers.append)
    for event in events.split(", "):
        assert not answers and not reload.over
        number, what = event.split()
        worker = workers[int(number)]
        if what == "loaded":
            reload.loaded(worker)
        elif what == "gone":
            reload.gone(worker)
        else:
            reload.done(worker, ERROR if what == "failed" else None)
    assert answers == [answer] and reload.over
    for number, worker in enumerate(workers):
        expected = [("decision", told[number])] if number in told else []
        assert worker.sent == [("reload", ("file", b"")), *expected], number
