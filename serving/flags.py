"""The flags of the server: those of `tensorflow_model_server` that it has, and its own limits."""

import argparse
import math
import os
import sys
import threading
from dataclasses import fields

from serving.limits import Limits

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
RANGES = {  # of whole numbers, both ends included
    "port": (0, 65535),
    "grpc_max_threads": (1, 1024),
    "tensorflow_intra_op_parallelism": (0, 1024),
    "max_request_bytes": (1, 2**31 - 1),  # more, gRPC cannot count
    "max_tensor_bytes": (1, 2**31 - 1),
    "max_rows": (1, 2**31 - 1),
    "max_bytes_under_way": (1, 2**63 - 1),
}
LIMITS = {
    "max_request_bytes": "bytes of one request's message, unpacked if it is compressed",
    "max_tensor_bytes": "bytes that the tensors of one request may take, which can be many times its message; 64 a string",
    "max_rows": "rows of a tensor of strings, that is, texts of one request",
    "max_bytes_under_way": "bytes of messages and tensors of all requests at once; beyond it UNAVAILABLE, and clients try again",
}


def fail(message, status=2):
    print(f"python -m serving.server: {message}".replace("\n", " "), file=sys.stderr)
    sys.exit(status)


def parse(arguments, description):
    """Returns the options, checked; ends the process with one line if one of them is wrong."""
    parser = _parser(description)
    options, others = parser.parse_known_args(arguments)
    for flag in others:
        if flag.removeprefix("--").partition("=")[0] not in WITHOUT_EFFECT:
            fail(f"unrecognized argument {flag} (see --help)")
        print(f"{flag}: a flag of TensorFlow Serving that has no effect here", file=sys.stderr)
    if not options.model_base_path and not options.model_config_file:
        fail("expected --model_base_path or --model_config_file")
    if not options.model_name and not options.model_config_file:
        fail("--model_name: expected a name, received an empty one")
    for name, (least, most) in RANGES.items():
        least = 1 if name == "port" and not options.grpc_socket_path else least
        if not least <= getattr(options, name) <= most:
            fail(f"--{name}: expected {least} to {most}, received {getattr(options, name)}")
    seconds = options.file_system_poll_wait_seconds
    if not math.isfinite(seconds) or seconds > threading.TIMEOUT_MAX:
        fail(f"--file_system_poll_wait_seconds: expected a number of seconds, received {seconds}")
    options.grpc_channel_arguments = channel_arguments(options.grpc_channel_arguments)
    return options


def _parser(description):
    parser = argparse.ArgumentParser(
        prog="python -m serving.server", description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    parser.error = lambda message: fail(f"{message} (see --help)")
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
        "--grpc_max_threads",
        type=int,
        default=min(4 * (os.cpu_count() or 1), RANGES["grpc_max_threads"][1]),
        help="requests that run at once (default: %(default)s)",
    )
    add("--tensorflow_intra_op_parallelism", type=int, default=0, help="threads of one operation; 0: as many as cores")
    for limit in fields(Limits):
        text = f"most {LIMITS[limit.name]} (default: %(default)s)"
        add(f"--{limit.name}", type=int, default=limit.default, help=text)
    return parser


def channel_arguments(text):
    """Returns {key: value} of `key=value,...`; whole numbers as such."""
    found = {}
    for one in filter(None, text.split(",")):
        key, equals, value = one.partition("=")
        if not key or not equals:
            fail(f"--grpc_channel_arguments: expected key=value,..., received {one}")
        if value.removeprefix("-").isdecimal() and value.isascii():
            if not -(2**31) <= int(value[:20]) < 2**31:
                fail(f"--grpc_channel_arguments: expected {key} to fit 32 bits, received {value}")
            value = int(value)
        found[key] = value
    return found
