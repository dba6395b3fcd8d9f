"""The models to serve: from the flags, or from a text-format `tensorflow.serving.ModelServerConfig`."""

import argparse
import contextlib
from collections.abc import Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from serving import files
from serving.flags import fail
from serving.model import Model, log
from serving.refusal import Refused
from serving.versions import Models


class Invalid(ValueError):
    """A configuration that cannot be served; says in one line what was found, and what was expected."""


def read_models(options: argparse.Namespace) -> list[Model]:
    """Returns the models of the options; ends the process with one line if one of them has no versions."""
    try:
        if options.model_config_file:
            path = options.model_config_file
            models = read_config(path, read_bytes(path))
        else:
            models = [Model(options.model_name, options.model_base_path)]
    except Invalid as error:
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


def read_bytes(path: str) -> bytes:
    """Returns the content of a configuration file; raises `Invalid` if it cannot be read."""
    try:
        return files.read_bytes(files.place(path))
    except OSError as error:
        raise Invalid(f"{path}: cannot be read ({error.strerror})") from None


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


class Follower:
    """Serves what a configuration file says, when that changes; one that cannot be served changes nothing.

    Args:
        path: The file; what it says now, or later, is what is served first.
        unavailable_labels: See `Models.reload`.
    """

    def __init__(self, path: str, unavailable_labels: bool) -> None:
        self._path, self._unavailable_labels = path, unavailable_labels
        self._taken: bytes | None = None  # content that is served
        self._said = ""
        with contextlib.suppress(Invalid):
            self._taken = read_bytes(path)

    def look(self, models: Models) -> None:
        """Reads the file, and takes it over if it is another; a broken one is tried again, and reported once."""
        try:
            content = read_bytes(self._path)
            if content != self._taken:
                models.reload(read_config(self._path, content), unavailable_labels=self._unavailable_labels)
            self._taken, self._said = content, ""
        except (Invalid, Refused) as error:
            self._say(str(error))
        except Exception as error:  # a defect must not end the thread
            self._say(f"{type(error).__name__}: {error}")

    def _say(self, error):
        line = f"{error}; the configuration before is kept"
        line = line if line.startswith(self._path) else f"{self._path}: {line}"
        if line != self._said:
            log(line)
        self._said = line


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
