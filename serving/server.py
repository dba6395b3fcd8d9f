"""`python -m serving.server`: serves SavedModels over TensorFlow Serving's gRPC API, from Python packages alone.

Takes the flags of `tensorflow_model_server` that it has; answers Predict, GetModelMetadata and GetModelStatus with its
codes and texts of errors, and `grpc.health.v1` with the real state. The port opens when every model is loaded.
SIGTERM ends it after the requests under way.
"""

import argparse
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


# Flags of tensorflow_model_server that we do not have and that may be left out without harm. The others, TLS above all, are
# refused: who gives them relies on them.
WITHOUT_EFFECT = (
    "rest_api_port", "rest_api_num_threads", "rest_api_timeout_in_ms", "rest_api_enable_cors_support", "enable_batching",
    "batching_parameters_file", "enable_per_model_batching_parameters", "enable_model_warmup", "monitoring_config_file",
    "enable_grpc_healthcheck_service", "tensorflow_inter_op_parallelism", "tensorflow_session_parallelism",
    "num_load_threads", "num_unload_threads", "max_num_load_retries", "load_retry_interval_micros",
    "flush_filesystem_caches", "per_process_gpu_memory_fraction", "allow_version_labels_for_unavailable_models",
    "remove_unused_fields_from_bundle_metagraph", "enable_profiler", "xla_cpu_compilation_enabled",
)  # fmt: skip


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m serving.server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    parser.error = lambda message: fail(f"{message} (see --help)")
    add = parser.add_argument
    add("--port", type=int, default=8500, help="gRPC port on all addresses (default: %(default)s)")
    add("--model_name", default="default", help="name of the one model of --model_base_path (default: %(default)s)")
    add("--model_base_path", help="folder with the version folders 1, 2, ... of one model")
    add(
        "--model_config_file",
        help="several models: a text tensorflow.serving.ModelServerConfig; wins over --model_base_path",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1,
        help="look for new versions so often; 0: once (default: %(default)s)",
    )
    add(
        "--grpc_max_threads",
        type=int,
        default=4 * (os.cpu_count() or 1),
        help="requests at once (default: %(default)s)",
    )
    add("--tensorflow_intra_op_parallelism", type=int, default=0, help="threads of one operation; 0: as many as cores")
    options, others = parser.parse_known_args(arguments)
    for flag in others:
        if flag.removeprefix("--").partition("=")[0] not in WITHOUT_EFFECT:
            fail(f"unrecognized argument {flag} (see --help)")
        print(f"{flag}: a flag of TensorFlow Serving that has no effect here", file=sys.stderr)
    if not options.model_base_path and not options.model_config_file:
        fail("expected --model_base_path or --model_config_file")
    if not 0 < options.port < 65536:
        fail(f"--port: expected 1 to 65535, received {options.port}")
    if options.grpc_max_threads < 1:
        fail(f"--grpc_max_threads: expected more than 0, received {options.grpc_max_threads}")
    return options


def fail(message, status=2):
    print(f"python -m serving.server: {message}", file=sys.stderr)
    sys.exit(status)


def import_tensorflow_quietly():
    """Imports TensorFlow without the notes that its native code writes to standard error before it reads any setting."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        # The ops alone, for the graphs that hold them: the package itself imports Keras, which a server needs not have.
        text = find_spec("tensorflow_text")
        libraries = [*Path(text.origin).parent.glob("python/*/*.so")] if text else []
        for library in libraries:
            tf.load_library(str(library))
        tf.config.list_physical_devices()  # its notes, too
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
    if not libraries:
        fail("expected the package tensorflow-text (docker/requirements.txt), found none of its ops", status=1)


def check_port(port):
    """gRPC would tell it in lines of its own."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        try:
            trial.bind(("0.0.0.0", port))
        except OSError as error:
            fail(f"--port {port}: cannot be listened on ({error.strerror})")


def read_models(options):
    """Returns the `Model`s that the options ask for."""
    from serving.versions import Model

    if options.model_config_file:
        models = read_config(Path(options.model_config_file))
    else:
        models = [Model(options.model_name, Path(options.model_base_path))]
    for model in models:
        if not model.aspired():
            fail(
                f"No versions of servable {model.name} found under base path {model.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
    return models


def read_config(path):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    from serving.versions import Model

    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), model_server_config_pb2.ModelServerConfig())
    except OSError as error:
        fail(f"{path}: cannot be read ({error.strerror})")
    except (text_format.ParseError, UnicodeDecodeError) as error:
        fail(f"{path}: expected a text-format tensorflow.serving.ModelServerConfig, found: {error}")
    models = []
    for one in config.model_config_list.config:
        if not one.name or not one.base_path:
            fail(
                f"{path}: expected a name and a base_path for every model, found {text_format.MessageToString(one, as_one_line=True)}"
            )
        if one.name in [model.name for model in models]:
            fail(f"Illegal to list model {one.name} multiple times in config list")
        if one.model_platform not in ("tensorflow", ""):
            fail(f"{path}: model {one.name}: expected model_platform tensorflow, found {one.model_platform}")
        policy = one.model_version_policy
        kind = policy.WhichOneof("policy_choice")
        models.append(
            Model(
                one.name,
                Path(one.base_path),
                latest=0 if kind == "all" else max(policy.latest.num_versions, 1),
                specific=tuple(policy.specific.versions),
                labels=dict(one.version_labels),
            )
        )
    if not models:
        fail(f"{path}: expected model_config_list with at least one config, found none")
    return models


def main(arguments=None):
    options = parse(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # until there are requests to wait for
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    check_port(options.port)  # before models are loaded for minutes
    import_tensorflow_quietly()
    import grpc

    from serving.services import register
    from serving.versions import Models, log

    models = Models(read_models(options), intra_op_threads=options.tensorflow_intra_op_parallelism)
    models.update()
    for model in models.models.values():
        if not model.available():
            fail(f"{model.name}: no version could be loaded from {model.base_path}", status=1)
        for label, number in model.labels.items():
            if number not in model.available():
                log(f"{model.name}: label {label} is for version {number}, which is not loaded")

    server = grpc.server(
        ThreadPoolExecutor(options.grpc_max_threads),
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # else two servers share a port in silence
        ],
    )
    register(server, models)
    try:
        server.add_insecure_port(f"0.0.0.0:{options.port}")
    except RuntimeError:
        fail(f"--port {options.port}: cannot be listened on")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    if options.file_system_poll_wait_seconds > 0:
        models.watch(options.file_system_poll_wait_seconds)
    log(f"serving {', '.join(models.models)} at 0.0.0.0:{options.port}")
    ended.wait()
    log("ending after the requests under way")
    models.stop()
    server.stop(grace=30).wait()
    sys.stderr.flush()
    os._exit(0)  # a version that is just being loaded, or a request past its 30 s, holds nothing up


if __name__ == "__main__":
    main()
