"""The models to serve: from the flags, or from a text-format `tensorflow.serving.ModelServerConfig`."""

import argparse
from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from serving.server import files
from serving.server.configuration.flags import fail
from serving.server.configuration.follow import REQUEST, Config, Invalid, read_bytes
from serving.server.models.model import Logging, Model
from serving.server.refusal import Refused


def read_models(options: argparse.Namespace, config: Config | None = None) -> list[Model]:
    """Returns the models of the options, or of a later configuration; ends the process with one line if one has no versions."""
    try:
        if config:
            models = models_in(config, options.model_config_file)
        elif options.model_config_file:
            models = read_config(options.model_config_file, read_bytes(options.model_config_file))
        else:
            models = [Model(options.model_name, options.model_base_path)]
    except (Invalid, Refused) as error:
        fail(str(error))
    for model in models:
        try:
            versions = model.aspired()
        except FileNotFoundError:
            versions = {}
        except OSError as error:
            fail(f"{model.name}: {model.base_path} cannot be read ({error.strerror})")
        if not versions:
            fail(model.without_versions())
    return models


def read_config(path: str, content: bytes) -> list[Model]:
    """Returns the models of a configuration file with that content; raises `Invalid`."""
    try:
        text = content.decode()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        as_written = text_format.Parse(text, _with_lists_for_maps()).model_config_list.config
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{path}: Error parsing text-format tensorflow.serving.ModelServerConfig: {error}") from None
    labels = [[label.key for label in written.version_labels] for written in as_written]
    models = models_of(config.model_config_list.config, f"{path}: ", labels)
    if not models:
        raise Invalid(f"{path}: expected model_config_list with at least one config, found none")
    return models


def models_of(
    configs: Sequence[Message], source: str = "", labels: Sequence[Sequence[str]] | None = None
) -> list[Model]:
    """Returns the models of `tensorflow.serving.ModelConfig`s.

    Args:
        configs: They.
        source: What an error begins with.
        labels: The names of each one's labels as written, with repetitions; by default, as they are.

    Raises:
        Invalid: A name twice, or something that is not served.
    """
    models: dict[str, Model] = {}
    for i, entry in enumerate(configs):
        if entry.name in models:
            raise Invalid(f"Illegal to list model {entry.name} multiple times in config list")
        models[entry.name] = _model(source, entry, labels[i] if labels else list(entry.version_labels))
    return list(models.values())


def models_in(config: Config, path: str = "configuration") -> list[Model]:
    """Returns the models of a configuration that came while the server runs.

    Args:
        config: It.
        path: Of --model_config_file, if it came from there.

    Raises:
        Refused: It cannot be served.
    """
    kind, content = config
    if kind == REQUEST:
        return models_of_request(model_server_config_pb2.ModelServerConfig.FromString(content))
    try:
        return read_config(path, content)
    except Invalid as error:
        raise Refused("INVALID_ARGUMENT", str(error)) from None


def models_of_request(config: Any) -> list[Model]:
    """Returns the models of a `ModelServerConfig` that came by a call; raises `Refused`."""
    if config.WhichOneof("config") != "model_config_list":
        raise Refused(
            "INVALID_ARGUMENT",
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported",
        )
    try:
        models = models_of(config.model_config_list.config)
    except Invalid as error:
        raise Refused("INVALID_ARGUMENT", str(error)) from None
    for model in models:
        if not files.is_absolute(model.base_path):  # whose folder would it be relative to?
            raise Refused(
                "INVALID_ARGUMENT",
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}",
            )
    return models


def _model(source, config, labels):
    location = f"{source}model {config.name}"
    if not config.name or not config.base_path:
        text = text_format.MessageToString(config, as_one_line=True)
        raise Invalid(f"{source}expected a name and a base_path for every model, found {text or 'neither'}")
    if "\0" in config.base_path:
        raise Invalid(f"{location}: expected a base_path, found one with a NUL in it")
    if config.model_platform not in ("tensorflow", ""):
        raise Invalid(f"{location}: expected model_platform tensorflow, found {config.model_platform}")
    for label in labels:
        if not label:
            raise Invalid(f"{location}: expected a name for every label, found an empty one")
        if labels.count(label) > 1:
            raise Invalid(f"{location}: expected every label once, found {label} {labels.count(label)} times")
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific" and not policy.specific.versions:
        raise Invalid(
            f"{location}: expected versions in the version policy specific, found none: nothing would be served"
        )
    return Model(
        config.name,
        config.base_path,
        latest=0 if kind == "all" else max(policy.latest.num_versions, 1),
        specific=tuple(policy.specific.versions),
        labels=dict(config.version_labels),
        logging=_logging(location, config.logging_config) if config.HasField("logging_config") else None,
    )


def _logging(location, config):
    """Returns the `Logging` of a `LoggingConfig`."""
    collector, sampling = config.log_collector_config, config.sampling_config.sampling_rate
    if collector.type != "tfrecord" or not collector.filename_prefix:
        found = text_format.MessageToString(collector, as_one_line=True) or "none"
        raise Invalid(
            f"{location}: expected a log_collector_config of type tfrecord with a filename_prefix, found {found}"
        )
    if not 0 <= sampling <= 1:
        raise Invalid(f"{location}: expected a sampling_rate from 0 to 1, found {sampling}")
    return Logging(collector.filename_prefix, sampling)


def _with_lists_for_maps():
    """Returns an empty `ModelServerConfig` that keeps repeated labels; in a map, only the last would be kept."""
    pool = descriptor_pool.DescriptorPool()

    def add(file):
        for dependency in file.dependencies:
            add(dependency)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        for message in proto.message_type:
            for nested in message.nested_type:
                nested.options.ClearField("map_entry")  # on the wire and in text, a map is a list of entries
        pool.Add(proto)

    add(model_server_config_pb2.DESCRIPTOR)
    name = model_server_config_pb2.ModelServerConfig.DESCRIPTOR.full_name
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
