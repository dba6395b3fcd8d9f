"""The models to serve: from the flags, or from a text-format `tensorflow.serving.ModelServerConfig`."""

import argparse
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.flags import fail
from serving.versions import Model


def read_models(options: argparse.Namespace) -> list[Model]:
    """Returns the models of the options; ends the process with one line if one of them has no versions."""
    if options.model_config_file:
        models = read_config(Path(options.model_config_file))
    else:
        models = [Model(options.model_name, Path(options.model_base_path))]
    for model in models:
        try:
            versions = model.aspired()
        except FileNotFoundError:
            versions = {}
        except OSError as error:
            fail(f"{model.name}: {model.base_path} cannot be read ({error.strerror})")
        if not versions:
            fail(
                f"No versions of servable {model.name} found under base path {model.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
    return models


def read_config(path: Path) -> list[Model]:
    """Returns the models of a configuration file; ends the process with one line if it is invalid."""
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except OSError as error:
        fail(f"{path}: cannot be read ({error.strerror})")
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        fail(f"{path}: expected a text-format tensorflow.serving.ModelServerConfig, found: {error}")
    as_written = text_format.Parse(text, _with_lists_for_maps()).model_config_list.config
    models: dict[str, Model] = {}
    for entry, written in zip(config.model_config_list.config, as_written, strict=True):
        if entry.name in models:
            fail(f"Illegal to list model {entry.name} multiple times in config list")
        models[entry.name] = _model(path, entry, [label.key for label in written.version_labels])
    if not models:
        fail(f"{path}: expected model_config_list with at least one config, found none")
    return list(models.values())


def _model(path, config, labels):
    """Returns the `Model` of one entry; `labels` are its labels' names as written, with repetitions."""
    location = f"{path}: model {config.name}"
    if not config.name or not config.base_path:
        text = text_format.MessageToString(config, as_one_line=True)
        fail(f"{path}: expected a name and a base_path for every model, found {text or 'neither'}")
    if "\0" in config.base_path:
        fail(f"{location}: expected a base_path, found one with a NUL in it")
    if config.model_platform not in ("tensorflow", ""):
        fail(f"{location}: expected model_platform tensorflow, found {config.model_platform}")
    for label in labels:
        if not label:
            fail(f"{location}: expected a name for every label, found an empty one")
        if labels.count(label) > 1:
            fail(f"{location}: expected every label once, found {label} {labels.count(label)} times")
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific" and not policy.specific.versions:
        fail(f"{location}: expected versions in the version policy specific, found none: nothing would be served")
    return Model(
        config.name,
        Path(config.base_path),
        latest=0 if kind == "all" else max(policy.latest.num_versions, 1),
        specific=tuple(policy.specific.versions),
        labels=dict(config.version_labels),
    )


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
