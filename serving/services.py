"""The services of TensorFlow Serving's API: from a request of any transport to the message that answers it.

Their other methods are UNIMPLEMENTED.
"""

from contextlib import ExitStack

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving import checks, tensors
from serving.gate import Request
from serving.limits import Limits
from serving.refusal import Refused, cut
from serving.versions import Models


class Services:
    """The methods of both services; each raises `Refused` for a request that cannot be answered.

    Args:
        models: The served models.
        limits: Limits of one request.
    """

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits = models, limits

    def predict(self, request: Request) -> predict_pb2.PredictResponse:
        """Answers Predict."""
        response = predict_pb2.PredictResponse()
        with ExitStack() as stack:
            with request.parsed(predict_pb2.PredictRequest) as message:
                spec = _spec(message)
                version, servable = stack.enter_context(self.models.use(spec))
                signature_name = spec.signature_name or "serving_default"
                signature = servable.signature(signature_name)
                inputs, requested = checks.read(
                    signature, message.inputs, message.output_filter, self.limits, request.reserve
                )
                response.model_spec.name = spec.name
                del message, spec  # they take much more memory than what was read from them
            outputs = servable.run(signature_name, inputs, requested)
        response.model_spec.signature_name = signature_name
        response.model_spec.version.value = version
        for name, value in outputs.items():
            try:
                tensors.fill(response.outputs[name], value)
            except ValueError as error:
                raise Refused("UNIMPLEMENTED", f"output {name}: {error}") from None
        return response

    def metadata(self, request: Request) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers GetModelMetadata."""
        message = request.message(get_model_metadata_pb2.GetModelMetadataRequest)
        spec = _spec(message)
        if not message.metadata_field:
            raise Refused("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for field in message.metadata_field:
            if field != "signature_def":
                raise Refused("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        with self.models.use(spec) as (version, servable):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, request: Request) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers GetModelStatus."""
        spec = _spec(request.message(get_model_status_pb2.GetModelStatusRequest))
        versions = self.models.status(spec.name)
        if not versions:
            raise Refused("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        if spec.HasField("version"):
            versions = [(number, version) for number, version in versions if number == spec.version.value]
            if not versions:
                raise Refused("NOT_FOUND", f"Could not find version {spec.version.value} of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in versions:
            status = response.model_version_status.add(version=number, state=version.state)
            status.status.error_code = version.code
            status.status.error_message = cut(version.error)
        return response


def _spec(message):
    """Returns the model_spec of a request; raises `Refused` if it has none."""
    if not message.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
    return message.model_spec
