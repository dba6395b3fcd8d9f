"""How the versions of models are loaded and run: a `tensorflow.serving.SessionBundleConfig`, from the flags or a file."""

import argparse
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow_serving.config import platform_config_pb2

from serving.server.batching import parameters as batching
from serving.server.configuration.flags import CORES, fail
from serving.server.configuration.protos import (
    BatchingParameters,
    SavedModelBundleSourceAdapterConfig,
    SessionBundleConfig,
    Unreadable,
    read,
)
from serving.server.console import log

PLATFORM = "tensorflow"
BFLOAT16 = "bfloat16"


def _default():
    return SessionBundleConfig(enable_model_warmup=True)


@dataclass(frozen=True)
class Settings:
    """How versions are loaded and run.

    Args:
        bundle: `SessionBundleConfig`.
        load_threads: Models that are loaded at once at the start, or for a new configuration.
        unload_threads: Versions that are closed at once.
        retries: How often the first load of a version is tried again at once.
        retry_seconds: Between such attempts.
        runtime: `auto`, `tensorflow` or `litert`, of versions that have both.
    """

    bundle: Any = field(default_factory=_default)
    load_threads: int = CORES
    unload_threads: int = CORES
    retries: int = 0
    retry_seconds: float = 60.0
    runtime: str = "auto"

    @property
    def tags(self) -> Sequence[str]:
        """Tags of the graph of a SavedModel that is served."""
        return tuple(dict.fromkeys(self.bundle.saved_model_tags)) or ("serve",)

    @property
    def session(self) -> Message:
        """The `ConfigProto` of a session."""
        config = config_pb2.ConfigProto()
        config.CopyFrom(self.bundle.session_config)
        if self.bundle.mixed_precision == BFLOAT16:
            rewriting = config.graph_options.rewrite_options
            rewriting.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
        return config

    @property
    def warm_ups(self) -> int:
        """How often the recorded requests of a version are run before it answers."""
        options = self.bundle.model_warmup_options
        again = options.num_request_iterations.value if options.HasField("num_request_iterations") else 1
        return max(again, 1) if self.bundle.enable_model_warmup else 0


def settings_of(options: argparse.Namespace) -> Settings:
    """Returns the settings that the flags ask for; ends the process with one line if they cannot be had."""
    try:
        bundle = _from_file(options) if options.platform_config_file else _from_flags(options)
        _check(bundle)
    except Unreadable as error:
        fail(str(error))
    return Settings(
        bundle,
        load_threads=options.num_load_threads or CORES,
        unload_threads=options.num_unload_threads or CORES,
        retries=options.max_num_load_retries,
        retry_seconds=options.load_retry_interval_micros / 1e6,
        runtime=options.runtime,
    )


def disable_xla() -> None:
    """Refuses graphs that ask for XLA, with TensorFlow Serving's INTERNAL `XLA compilation disabled`; if TensorFlow can."""
    disable = getattr(ctypes.CDLL(None), "_ZN10tensorflow21DisableXlaCompilationEv", None)
    if disable:
        disable()
    else:
        log("--xla_cpu_compilation_enabled: this TensorFlow cannot refuse XLA; such models are served")


def _from_file(options):
    """Returns the `SessionBundleConfig` of --platform_config_file; the flags of sessions are not looked at, as there."""
    path = options.platform_config_file
    platforms = read(path, platform_config_pb2.PlatformConfigMap).platform_configs
    if PLATFORM not in platforms:
        raise Unreadable(
            f"{path}: expected platform_configs with the key {PLATFORM}, found {sorted(platforms) or 'none'}"
        )
    adapter, given = SavedModelBundleSourceAdapterConfig(), platforms[PLATFORM].source_adapter_config
    if not given.Unpack(adapter):
        name = given.type_url.rpartition("/")[2] or "nothing"
        raise Unreadable(f"{path}: expected a {adapter.DESCRIPTOR.full_name}, found {name}")
    return adapter.legacy_config


def _from_flags(options):
    bundle = SessionBundleConfig(
        enable_model_warmup=options.enable_model_warmup,
        remove_unused_fields_from_bundle_metagraph=options.remove_unused_fields_from_bundle_metagraph,
        prefer_tflite_model=options.prefer_tflite_model,
        num_tflite_pools=options.num_tflite_pools,
        num_tflite_interpreters_per_pool=options.num_tflite_interpreters_per_pool,
        mixed_precision=options.mixed_precision,
        saved_model_tags=filter(None, options.saved_model_tags.split(",")),
    )
    if options.enable_batching:
        bundle.batching_parameters.thread_pool_name.value = "model_server_batch_threads"
        if options.batching_parameters_file:
            bundle.batching_parameters.CopyFrom(read(options.batching_parameters_file, BatchingParameters))
        bundle.enable_per_model_batching_params = options.enable_per_model_batching_parameters
    elif options.batching_parameters_file:
        raise Unreadable("--batching_parameters_file is set without setting --enable_batching to true")
    if options.tensorflow_session_config_file:
        bundle.session_config.CopyFrom(read(options.tensorflow_session_config_file, config_pb2.ConfigProto))
    if options.per_process_gpu_memory_fraction:
        bundle.session_config.gpu_options.per_process_gpu_memory_fraction = options.per_process_gpu_memory_fraction
    both, intra = options.tensorflow_session_parallelism, options.tensorflow_intra_op_parallelism
    inter = options.tensorflow_inter_op_parallelism
    if both and intra and inter:
        raise Unreadable(
            "expected --tensorflow_session_parallelism, or --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism, received all three"
        )
    if intra or inter:
        bundle.session_config.intra_op_parallelism_threads = intra
        bundle.session_config.inter_op_parallelism_threads = inter
    elif both:
        bundle.session_config.intra_op_parallelism_threads = both
        bundle.session_config.inter_op_parallelism_threads = both
    if options.num_request_iterations_for_warmup:
        bundle.model_warmup_options.num_request_iterations.value = options.num_request_iterations_for_warmup
    return bundle


def _check(bundle):
    if bundle.mixed_precision not in ("", BFLOAT16):
        raise Unreadable(f"expected a mixed precision of {BFLOAT16}, received {bundle.mixed_precision}")
    if bundle.HasField("batching_parameters"):
        try:
            batching.parameters_of(bundle.batching_parameters)
        except batching.Invalid as error:
            raise Unreadable(f"batching parameters: {error}") from None
