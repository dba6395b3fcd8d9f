"""Messages of TensorFlow Serving's text files that the package tensorflow-serving-api lacks.

`BatchingParameters` (--batching_parameters_file), `SSLConfig` (--ssl_config_file), `MonitoringConfig`
(--monitoring_config_file), `SessionBundleConfig` and `SavedModelBundleSourceAdapterConfig` (--platform_config_file):
declared here with their names, fields and numbers.
"""

import os
from typing import TypeVar

from google.protobuf import descriptor_pool, text_format, wrappers_pb2
from google.protobuf.message import Message
from tensorflow.core.protobuf import config_pb2, named_tensor_pb2

from serving.declare import declare
from serving.server import files

DECLARED = {
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
    "BatchingParameters": {
        "max_batch_size": (1, ".google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, ".google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, ".google.protobuf.Int64Value"),
        "num_batch_threads": (4, ".google.protobuf.Int64Value"),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, ".google.protobuf.BoolValue"),
        "max_execution_batch_size": (9, ".google.protobuf.Int64Value"),
    },
    "ModelWarmupOptions": {
        "num_request_iterations": (1, ".google.protobuf.Int32Value"),
        "num_model_warmup_threads": (2, ".google.protobuf.Int32Value"),
        "model_name": (3, "string"),
        "model_version": (4, "int64"),
        "enable_all_batch_sizes_warmup": (5, "bool"),
    },
    "SessionBundleConfig": {
        "session_target": (1, "string"),
        "session_config": (2, ".tensorflow.ConfigProto"),
        "batching_parameters": (3, "BatchingParameters"),
        "session_run_load_threadpool_index": (4, ".google.protobuf.Int32Value"),
        "experimental_transient_ram_bytes_during_load": (5, "uint64"),
        "saved_model_tags": (6, "repeated string"),
        "experimental_fixed_input_tensors": (778, "repeated .tensorflow.NamedTensorProto"),
        "enable_model_warmup": (779, "bool"),
        "model_warmup_options": (780, "ModelWarmupOptions"),
        "enable_session_metadata": (781, "bool"),
        "remove_unused_fields_from_bundle_metagraph": (782, "bool"),
        "prefer_tflite_model": (783, "bool"),
        "resource_estimation_uses_validation_result": (784, "bool"),
        "num_tflite_interpreters": (785, "int32"),
        "num_tflite_interpreters_per_pool": (786, "int32"),
        "num_tflite_pools": (787, "int32"),
        "wrap_session_with_no_threading_params": (788, "bool"),
        "enable_per_model_batching_params": (789, "bool"),
        "enable_saved_model_config": (790, "bool"),
        "mixed_precision": (791, "string"),
    },
    "SavedModelBundleSourceAdapterConfig": {"legacy_config": (1000, "SessionBundleConfig")},
}
M = TypeVar("M", bound=Message)


class Unreadable(ValueError):
    """A text file that cannot be read, or holds no such message; says so in one line."""


def read(path: str | os.PathLike, kind: type[M]) -> M:
    """Returns the message of a text-format file.

    Raises:
        Unreadable: With TensorFlow Serving's words where it has some.
    """
    try:
        return text_format.Parse(files.read_bytes(files.place(path)).decode(), kind())
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read ({error.strerror})") from None
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{path}: Error parsing text-format {kind.DESCRIPTOR.full_name}: {error}") from None


_files = [module.DESCRIPTOR.name for module in (wrappers_pb2, config_pb2, named_tensor_pb2)]
_classes = declare(descriptor_pool.Default(), "serving/protos.proto", DECLARED, _files)
BatchingParameters = _classes["BatchingParameters"]
MonitoringConfig = _classes["MonitoringConfig"]
SavedModelBundleSourceAdapterConfig = _classes["SavedModelBundleSourceAdapterConfig"]
SessionBundleConfig = _classes["SessionBundleConfig"]
SSLConfig = _classes["SSLConfig"]
