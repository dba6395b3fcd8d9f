"""The server's flags: those of `tensorflow_model_server` that it supports, and its limits."""

import argparse
import math
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import NoReturn

from serving.limits import Limits

# Flags of tensorflow_model_server that can be ignored without harm. Its other unsupported flags, such as those of TLS,
# are errors: users rely on their effect.
WITHOUT_EFFECT = (
    "rest_api_port", "rest_api_num_threads", "rest_api_timeout_in_ms", "rest_api_enable_cors_support", "enable_batching",
    "batching_parameters_file", "enable_per_model_batching_parameters", "enable_model_warmup", "monitoring_config_file",
    "enable_grpc_healthcheck_service", "tensorflow_inter_op_parallelism", "tensorflow_session_parallelism",
    "num_load_threads", "num_unload_threads", "max_num_load_retries", "load_retry_interval_micros",
    "flush_filesystem_caches", "per_process_gpu_memory_fraction",
    "remove_unused_fields_from_bundle_metagraph", "enable_profiler", "xla_cpu_compilation_enabled",
)  # fmt: skip
RANGES = {  # of integers, both ends included
    "port": (0, 65535),
    "grpc_max_threads": (1, 1024),
    "tensorflow_intra_op_parallelism": (0, 1024),
    "max_request_bytes": (1, 2**31 - 1),  # gRPC's option is an int32
    "max_tensor_bytes": (1, 2**31 - 1),
    "max_rows": (1, 2**31 - 1),
    "max_bytes_under_way": (1, 2**63 - 1),
    "max_requests_under_way": (1, 10**6),
}
LIMITS = {
    "max_request_bytes": "bytes of one request's message, unpacked if it is compressed",
    "max_tensor_bytes": "bytes that the tensors of one request may take, which can be many times its message; 64 a string",
    "max_rows": "rows of a tensor of strings, that is, texts of one request",
    "max_bytes_under_way": "bytes of messages and tensors of all requests at once; beyond it UNAVAILABLE, and clients try again",
    "max_requests_under_way": "requests at once, running or waiting; beyond it UNAVAILABLE at once, and clients try again",
}


def fail(message: str, status: int = 2) -> NoReturn:
    """Prints the message in one line, and ends the process."""
    print(f"python -m serving.server: {message}".replace("\n", " "), file=sys.stderr)
    sys.exit(status)


def _boolean(text):
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected true or false, received {text}")
    return values[text.lower()]


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(f"{message} (see --help)")


def parse(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Returns the options, checked; ends the process with one line if one of them is invalid.

    Args:
        arguments: The command line; by default, that of the process.
        description: Text of `--help`.
    """
    parser = _parser(description)
    options, unknown = parser.parse_known_args(arguments)
    for flag in unknown:
        if flag.removeprefix("--").partition("=")[0] not in WITHOUT_EFFECT:
            fail(f"unrecognized argument {flag} (see --help)")
        print(f"{flag}: a flag of TensorFlow Serving that has no effect here", file=sys.stderr)
    if not options.model_base_path and not options.model_config_file:
        fail("expected --model_base_path or --model_config_file")
    if not options.model_name and not options.model_config_file:
        fail("--model_name: expected a name, received an empty one")
    for name, (low, high) in RANGES.items():
        low = 1 if name == "port" and not options.grpc_socket_path else low
        if not low <= getattr(options, name) <= high:
            fail(f"--{name}: expected {low} to {high}, received {getattr(options, name)}")
    for name in ("file_system_poll_wait_seconds", "model_config_file_poll_wait_seconds"):
        seconds = getattr(options, name)
        if not math.isfinite(seconds) or seconds > threading.TIMEOUT_MAX:
            fail(f"--{name}: expected a number of seconds, received {seconds}")
    options.grpc_channel_arguments = channel_arguments(options.grpc_channel_arguments)
    return options


def _parser(description):
    parser = _Parser(
        prog="python -m serving.server", description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add(
        "--port",
        type=int,
        default=8500,
        help="gRPC port on all addresses; 0: none, --grpc_socket_path alone (default: %(default)s)",
    )
    add("--grpc_socket_path", default="", help="listen on this UNIX socket, too")
    add(
        "--grpc_channel_arguments",
        default="",
        help="arguments of gRPC for the server, as grpc.max_connection_age_ms=2000, with commas between",
    )
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
        help="look for new versions so often; 0 or less: once (default: %(default)s)",
    )
    add(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0,
        help="look for changes of --model_config_file so often; 0 or less: never (default: %(default)s)",
    )
    add(
        "--allow_version_labels_for_unavailable_models",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="a new configuration may have labels for versions that are not loaded",
    )
    add(
        "--grpc_max_threads",
        type=int,
        default=min(4 * (os.cpu_count() or 1), RANGES["grpc_max_threads"][1]),
        help="requests that run at once (default: %(default)s)",
    )
    add(
        "--enable_signature_method_name_check",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="refuse a signature whose method_name is not that of the call",
    )
    add("--tensorflow_intra_op_parallelism", type=int, default=0, help="threads of one operation; 0: as many as cores")
    for limit in fields(Limits):
        text = f"most {LIMITS[limit.name]} (default: %(default)s)"
        add(f"--{limit.name}", type=int, default=limit.default, help=text)
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
