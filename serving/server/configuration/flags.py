"""The server's flags: those of `tensorflow_model_server`, with its syntax and defaults, and our own."""

import argparse
import math
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from serving import command_line
from serving.server.requests.limits import Limits

CORES = os.cpu_count() or 1
INT32 = 2**31 - 1
RUNTIMES = ("auto", "tensorflow", "litert")


@dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        default: Its value if it is not given; of the type that it has.
        help: What it does.
        low, high: The least and the greatest number that it takes.
        unit: What a number that is no integer is.
    """

    default: str | bool | int | float
    help: str = ""
    low: float = 0
    high: float = INT32
    unit: str = "a number of seconds"


SECONDS: dict[str, Any] = {"low": -threading.TIMEOUT_MAX, "high": threading.TIMEOUT_MAX}
FLAGS = {
    "version": Flag(False, "say the versions, and end"),
    # Where it listens
    "port": Flag(8500, "gRPC port on all addresses; 0: none, --grpc_socket_path alone", high=65535),
    "grpc_socket_path": Flag("", "listen on this UNIX socket, too"),
    "grpc_channel_arguments": Flag(
        "", "arguments of gRPC for the server, as grpc.max_connection_age_ms=2000, with commas between"
    ),
    "ssl_config_file": Flag("", "TLS: a text tensorflow.serving.SSLConfig, with keys and certificates inside"),
    "use_alts_credentials": Flag(False, "not supported: TLS inside Google Cloud; see --ssl_config_file"),
    "workers": Flag(1, "processes on this port, each with models of its own, for many small requests", low=1, high=256),
    "grpc_max_threads": Flag(min(4 * CORES, 1024), "requests that run at once", low=1, high=1024),
    "rest_api_port": Flag(0, "port of the REST API on all addresses; 0: none", high=65535),
    "rest_api_num_threads": Flag(4 * CORES, "requests over REST that run at once", low=1, high=1024),
    "rest_api_timeout_in_ms": Flag(30_000, "milliseconds for a request over REST", low=1),
    "rest_api_enable_cors_support": Flag(False, "pages of other origins may ask over REST"),
    "monitoring_config_file": Flag(
        "",
        "a text tensorflow.serving.MonitoringConfig; with prometheus_config enabled, metrics at its path on the REST port",
    ),
    # What it says
    "request_log": Flag("", "a file that gets a line of JSON for each request that has ended; SIGHUP opens it anew"),
    "request_log_sampling": Flag(1.0, "part of the requests that are written", high=1, unit="a number from 0 to 1"),
    "request_log_inputs": Flag(False, "write the inputs of requests, too"),
    # What it serves
    "model_name": Flag("default", "name of the one model of --model_base_path"),
    "model_base_path": Flag("", "folder with the version folders 1, 2, ... of one model"),
    "model_config_file": Flag(
        "", "several models: a text tensorflow.serving.ModelServerConfig; wins over --model_base_path"
    ),
    "model_config_file_poll_wait_seconds": Flag(
        0.0, "look for changes of --model_config_file so often; 0 or less: never", **SECONDS
    ),
    "file_system_poll_wait_seconds": Flag(1.0, "look for new versions so often; 0 or less: once", **SECONDS),
    "allow_version_labels_for_unavailable_models": Flag(
        False, "a new configuration may have labels for versions that are not loaded"
    ),
    "saved_model_tags": Flag("serve", "tags of the graph of a SavedModel that is served, with commas between"),
    "prefer_tflite_model": Flag(False, "serve the model.tflite of a version's folder, if there is one"),
    "runtime": Flag(
        "auto",
        "of versions with an encoder for LiteRT beside the SavedModel: auto, whichever is faster; tensorflow; litert",
    ),
    "num_tflite_pools": Flag(CORES, "pools of interpreters of one model.tflite", high=1024),
    "num_tflite_interpreters_per_pool": Flag(
        1, "interpreters of each pool; so many times --num_tflite_pools run at once", high=1024
    ),
    "num_load_threads": Flag(0, "models that are loaded at once; 0: as many as cores", high=1024),
    "num_unload_threads": Flag(0, "versions that are closed at once; 0: as many as cores", high=1024),
    "max_num_load_retries": Flag(
        0, "how often a version that cannot be loaded is tried again; later only when its files change"
    ),
    "load_retry_interval_micros": Flag(60_000_000, "microseconds between such attempts", high=2**53),
    "enable_model_warmup": Flag(True, "run a version's recorded requests before it answers"),
    "num_request_iterations_for_warmup": Flag(0, "how often; 0: once"),
    "enable_signature_method_name_check": Flag(False, "refuse a signature whose method_name is not that of the call"),
    "enable_serialization_as_tensor_content": Flag(False, "answer Predict with tensor_content, a field for every type"),
    "enable_profiler": Flag(True, "answer tensorflow.ProfilerService: a client has a profile written where it says"),
    # How it computes
    "enable_batching": Flag(False, "run requests that wait together as one batch"),
    "batching_parameters_file": Flag("", "text tensorflow.serving.BatchingParameters for --enable_batching"),
    "enable_per_model_batching_parameters": Flag(
        False, "batch the models with a batching_params.pbtxt in the version's folder, and only them"
    ),
    "tensorflow_intra_op_parallelism": Flag(
        0, "threads of one operation; 0: as many as cores, shared by --workers", high=1024
    ),
    "tensorflow_inter_op_parallelism": Flag(
        0, "threads that start a session's operations; 0: the request's own thread, which is fastest", high=1024
    ),
    "tensorflow_session_parallelism": Flag(0, "both of these", high=1024),
    "tensorflow_session_config_file": Flag("", "text tensorflow.ConfigProto of every session"),
    "platform_config_file": Flag(
        "", "text tensorflow.serving.PlatformConfigMap, instead of all flags about sessions, batching and warm-up"
    ),
    "mixed_precision": Flag("", "bfloat16: compute in it where oneDNN can"),
    "xla_cpu_compilation_enabled": Flag(False, "compile the graphs that ask for it with XLA; else they are refused"),
    "xla_gpu_compilation_enabled": Flag(False, "the same"),
    "per_process_gpu_memory_fraction": Flag(
        0.0, "part of the GPU's memory that is taken at the start; 0: what is needed", high=1, unit="0 to 1"
    ),
    "remove_unused_fields_from_bundle_metagraph": Flag(
        True, "always so: of a SavedModel's description only signatures stay"
    ),
}
# Flags of tensorflow_model_server that can be ignored without harm. Its other unsupported flags
# are errors: users rely on their effect.
WITHOUT_EFFECT = (
    "enable_grpc_healthcheck_service", "flush_filesystem_caches", "skip_initialize_tpu", "thread_pool_factory_config_file",
)  # fmt: skip
LIMITS = {  # {flag: (greatest number, what it is the most of)}
    "max_request_bytes": (INT32, "bytes of one request's message, unpacked if it is compressed"),  # gRPC's is an int32
    "max_tensor_bytes": (
        INT32,
        "bytes that the tensors of one request may take, which can be many times its message; 64 a string",
    ),
    "max_rows": (INT32, "rows of a tensor of strings, that is, texts of one request"),
    "max_bytes_under_way": (
        2**63 - 1,
        "bytes of messages and tensors of all requests at once; beyond it UNAVAILABLE, and clients try again",
    ),
    "max_requests_under_way": (
        10**6,
        "requests at once, running or waiting; beyond it UNAVAILABLE at once, and clients try again",
    ),
}
ALL = FLAGS | {
    limit.name: Flag(getattr(Limits(), limit.name), f"most {LIMITS[limit.name][1]}", low=1, high=LIMITS[limit.name][0])
    for limit in fields(Limits)
}


def fail(message: str, status: int = 2) -> NoReturn:
    """Prints the message in one line, and ends the process."""
    command_line.fail("serving.server", message, status)


def _boolean(text):
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected true or false, received {text}")
    return values[text.lower()]


def installed(package: str) -> str:
    """Returns the version of a package, or of its build without GPU libraries."""
    for name in (package, f"{package}-cpu"):
        with suppress(PackageNotFoundError):
            return version(name)
    return "none"


def parse(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Returns the options, checked; ends the process with one line if one of them is invalid.

    Args:
        arguments: The command line; by default, that of the process.
        description: Text of `--help`.
    """
    parser = _parser(description)
    options, unknown = parser.parse_known_args(arguments)
    if options.version:
        print(f"TensorFlow ModelServer: Lineage\nTensorFlow Library: {installed('tensorflow')}")
        sys.exit(0)
    for flag in unknown:
        if flag.removeprefix("--").partition("=")[0] not in WITHOUT_EFFECT:
            fail(f"unrecognized argument {flag} (see --help)")
        print(f"{flag}: a flag of TensorFlow Serving that has no effect here", file=sys.stderr)
    if not options.model_base_path and not options.model_config_file:
        fail("expected --model_base_path or --model_config_file")
    if options.rest_api_port and options.rest_api_port == options.port:
        print("--rest_api_port is that of gRPC; there is no REST API", file=sys.stderr)  # as TensorFlow Serving has it
        options.rest_api_port = 0
    if options.monitoring_config_file and not options.rest_api_port:
        fail("--monitoring_config_file: expected --rest_api_port, where the metrics are; received none")
    if not options.model_name and not options.model_config_file:
        fail("--model_name: expected a name, received an empty one")
    if options.runtime not in RUNTIMES:
        fail(f"--runtime: expected one of {', '.join(RUNTIMES)}, received {options.runtime}")
    if options.use_alts_credentials:
        fail("--use_alts_credentials: expected --ssl_config_file instead, for ALTS is not supported")
    for name, flag in ALL.items():
        _check(name, flag, getattr(options, name), 1 if name == "port" and not options.grpc_socket_path else flag.low)
    if options.workers > 1 and not options.port:
        fail(f"--workers: expected 1 without a --port, received {options.workers}")
    options.grpc_channel_arguments = channel_arguments(options.grpc_channel_arguments)
    return options


def _check(name, flag, value, low):
    """Ends the process if a number is out of its range."""
    if isinstance(flag.default, float) and not (math.isfinite(value) and low <= value <= flag.high):
        fail(f"--{name}: expected {flag.unit}, received {value}")
    if type(flag.default) is int and not low <= value <= flag.high:
        fail(f"--{name}: expected {low} to {flag.high}, received {value}")


def _parser(description):
    parser = command_line.Parser(
        prog="python -m serving.server",
        usage="%(prog)s --model_base_path=DIR | --model_config_file=FILE [--flag=value ...]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, flag in ALL.items():
        text = flag.help + ("" if flag.default == "" or flag.default is False else " (default: %(default)s)")
        if isinstance(flag.default, bool):
            parser.add_argument(f"--{name}", type=_boolean, nargs="?", const=True, default=flag.default, help=text)
        else:
            parser.add_argument(f"--{name}", type=type(flag.default), default=flag.default, help=text)
    return parser


def channel_arguments(text: str) -> dict[str, int | str]:
    """Returns {key: value} of `key=value,...`; integers as int."""
    parsed: dict[str, int | str] = {}
    for argument in filter(None, text.split(",")):
        key, equals, value = argument.partition("=")
        if not key or not equals:
            fail(f"--grpc_channel_arguments: expected key=value,..., received {argument}")
        if not (value.removeprefix("-").isdecimal() and value.isascii()):
            parsed[key] = value
        elif len(value) < 99 and -(2**31) <= int(value) < 2**31:
            parsed[key] = int(value)
        else:
            fail(f"--grpc_channel_arguments: expected {key} to fit 32 bits, received {value}")
    return parsed
