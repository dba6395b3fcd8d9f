"""The requests of a client, and what its server's responses say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from google.protobuf.message import Message
from numpy.typing import ArrayLike

from serving import messages, tensors
from trainer.errors import Mistake
from trainer.tasks.table import Task, answers

# Outputs of the exported models -> (NumPy kinds of their types, dimensions including the batch)
STRINGS, FLOATS, INTEGERS = "OSU", "f", "iu"
OUTPUTS = {
    "label": (STRINGS, 1), "labels": (STRINGS, 2), "probabilities": (FLOATS, 2), "words": (STRINGS, 2), "tags": (STRINGS, 2),
    "target": (STRINGS, 1), "targets": (STRINGS, 2), "source_starts": (INTEGERS, 2), "source_ends": (INTEGERS, 2),
    "answer": (STRINGS, 1), "answers": (STRINGS, 2), "null_score": (FLOATS, 1), "score": (FLOATS, 1), "scores": (FLOATS, 2),
    "tokens": (STRINGS, 2), "texts": (STRINGS, 2), "continuation": (STRINGS, 1), "chosen": (STRINGS, 2), "start": (INTEGERS, 1), "end": (INTEGERS, 1), "starts": (INTEGERS, 2), "ends": (INTEGERS, 2),
}  # fmt: skip
SERVICE = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"
# {method of a client: (gRPC's method, class of the responses)}
METHODS = {
    "predict": (f"{SERVICE[0]}/Predict", messages.PredictResponse),
    "metadata": (f"{SERVICE[0]}/GetModelMetadata", messages.GetModelMetadataResponse),
    "status": (f"{SERVICE[1]}/GetModelStatus", messages.GetModelStatusResponse),
    "reload": (f"{SERVICE[1]}/HandleReloadConfigRequest", messages.ReloadConfigResponse),
}
CODES = {code.value[0]: code.name for code in grpc.StatusCode}
STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


class Unexpected(Exception):
    """A response that does not answer the request: of another kind of model, or of a broken server."""


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version of a model.

    Args:
        version: Its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        code: Name of a gRPC status; OK without an error.
        error: Why it could not be loaded.
    """

    version: int
    state: str
    code: str = "OK"
    error: str = ""


def _specified(request, model, version, label=""):
    request.model_spec.name = model
    if version is not None and label:
        raise Mistake(f"expected a version or a label, received version {version} and label {label}")
    if version is not None:
        request.model_spec.version.value = version
    elif label:
        request.model_spec.version_label = label
    return request


def predict_request(
    model: str, inputs: Mapping[str, ArrayLike], signature: str, version: int | None, label: str
) -> Message:
    """Returns a `PredictRequest`."""
    request = _specified(messages.PredictRequest(), model, version, label)
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        tensors.fill(request.inputs[name], value)
    return request


def outputs_of(response: Any) -> dict[str, np.ndarray]:
    """Returns {output: array} of a `PredictResponse`; strings as bytes. Raises `Unexpected` if one is no valid tensor."""
    outputs = {}
    for name, proto in response.outputs.items():
        try:
            array = tensors.to_array(proto)
        except ValueError as error:
            raise Unexpected(f"output {name} is not a tensor: {error}") from None
        if isinstance(array, tensors.Flat):
            raise Unexpected(f"output {name} has {len(array.shape)} dimensions, more than an array can have")
        outputs[name] = array
    return outputs


def answers_of(
    task: Task, name: str, batch: Sequence[Mapping[str, Any]], outputs: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Returns the rows of a batch with their answers; raises `Unexpected`, or KeyError for an output that is lacking."""
    _check(outputs, len(batch))
    try:
        return answers(task, batch, outputs)
    except UnicodeDecodeError as error:
        raise Unexpected(f"expected texts of UTF-8, received {error.object[:30]!r}") from None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise Unexpected(f"expected an answer for {name}, received outputs that are none ({error})") from None


def _check(outputs, rows):
    """Raises `Unexpected` unless the outputs have that many rows, and the types of the exported models' outputs."""
    for name, (kinds, dimensions) in OUTPUTS.items():  # in a fixed order, so that the message is reproducible
        if name not in outputs:
            continue
        array = outputs[name]
        received = f"{'string' if array.dtype.kind in STRINGS else array.dtype.name} {list(array.shape)}"
        if not array.shape or len(array) != rows:
            raise Unexpected(f"expected {rows} rows of output {name}, received {received}")
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            expected = {STRINGS: "strings", FLOATS: "floats", INTEGERS: "integers"}[kinds]
            raise Unexpected(f"expected output {name} to be {expected} of {dimensions} dimensions, received {received}")


def status_request(model: str, version: int | None) -> Message:
    """Returns a `GetModelStatusRequest`."""
    return _specified(messages.GetModelStatusRequest(), model, version)


def statuses_of(response: Any) -> list[VersionStatus]:
    """Returns the versions of a `GetModelStatusResponse`, newest first."""
    versions = [
        VersionStatus(
            entry.version,
            STATES.get(entry.state, str(entry.state)),
            CODES.get(entry.status.error_code, str(entry.status.error_code)),
            entry.status.error_message,
        )
        for entry in response.model_version_status
    ]
    return sorted(versions, key=lambda status: -status.version)


def metadata_request(model: str, version: int | None, label: str) -> Message:
    """Returns a `GetModelMetadataRequest` for the signatures."""
    request = _specified(messages.GetModelMetadataRequest(), model, version, label)
    request.metadata_field.append("signature_def")
    return request


def metadata_of(response: Any) -> dict[str, Any]:
    """Returns what a `GetModelMetadataResponse` says, see `Client.metadata`; raises `Unexpected` if it has no signatures."""
    signatures = messages.SignatureDefMap()
    try:
        found = response.metadata["signature_def"].Unpack(signatures)
    except ValueError as error:  # DecodeError is one
        raise Unexpected(f"expected signatures, received none ({error})") from None
    if not found:
        raise Unexpected("expected signatures, received none")
    described = {
        name: {
            "method": signature.method_name,
            "inputs": _described(signature.inputs),
            "outputs": _described(signature.outputs),
        }
        for name, signature in sorted(signatures.signature_def.items())
    }
    return {"model": response.model_spec.name, "version": response.model_spec.version.value, "signatures": described}


def _described(infos):
    """Returns {name: [type, shape]} of tensors; the shape is None if its rank is unknown, -1 a size that is."""
    return {
        name: [
            tensors.NAMES.get(info.dtype, str(info.dtype)),
            None if info.tensor_shape.unknown_rank else [dimension.size for dimension in info.tensor_shape.dim],
        ]
        for name, info in sorted(infos.items())
    }


def read_config(path: str | Path) -> str:
    """Returns the text of a file; raises `Mistake` if it cannot be read."""
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise Mistake(f"{path}: expected UTF-8, found other bytes ({error})") from None


def reload_request(config: str) -> Any:
    """Returns a `ReloadConfigRequest` of a text `ModelServerConfig`; raises `Mistake` if it is none."""
    request = messages.ReloadConfigRequest()
    try:
        text_format.Parse(config, request.config)
    except (text_format.ParseError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise Mistake(f"Error parsing text-format tensorflow.serving.ModelServerConfig: {reason}") from None
    return request


def names_of(request: Any) -> list[str]:
    """Returns the models of a `ReloadConfigRequest`."""
    return [config.name for config in request.config.model_config_list.config]


def check_reloaded(response: Any) -> None:
    """Raises `Unexpected` if a `ReloadConfigResponse` says that the configuration was not taken over."""
    if response.status.error_code:
        code = CODES.get(response.status.error_code, response.status.error_code)
        raise Unexpected(f"{code}: {response.status.error_message}")
