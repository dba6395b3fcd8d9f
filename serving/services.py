"""The gRPC services: TensorFlow Serving's PredictionService and ModelService, and `grpc.health.v1`.

A method that is not here answers UNIMPLEMENTED.
"""

import functools

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import tensors
from serving.servable import Refused

LONGEST_MESSAGE = 1024  # characters of an error, as in TensorFlow Serving


def answering(method):
    """Turns `Refused` into a gRPC status; any other error is ours: INTERNAL, with its text."""

    @functools.wraps(method)
    def answer(self, request, context):
        left = context.time_remaining()
        try:
            if left is not None and left <= 0:
                raise Refused("DEADLINE_EXCEEDED", "Timed out waiting for notification")
            return method(self, request)
        except Refused as refusal:
            code, message = refusal.code, refusal.message
        except Exception as error:
            code, message = "INTERNAL", f"{type(error).__name__}: {error}"
        if len(message) > LONGEST_MESSAGE:
            message = message[:LONGEST_MESSAGE] + "...TRUNCATED"
        context.abort(grpc.StatusCode[code], message)

    return answer


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models):
        self.models = models

    @answering
    def Predict(self, request):
        _require_spec(request)
        with self.models.use(request.model_spec) as (version, servable):
            inputs = {}
            for name, proto in request.inputs.items():
                try:
                    inputs[name] = tensors.to_array(proto)
                except ValueError:
                    raise Refused("INVALID_ARGUMENT", f"tensor parsing error: {name}") from None
            signature = request.model_spec.signature_name or "serving_default"
            outputs = servable.predict(signature, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = signature
        response.model_spec.version.value = version
        for name, value in outputs.items():
            try:
                tensors.fill(response.outputs[name], value)
            except ValueError as error:
                raise Refused("UNIMPLEMENTED", f"output {name}: {error}") from None
        return response

    @answering
    def GetModelMetadata(self, request):
        _require_spec(request)
        if not request.metadata_field:
            raise Refused("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise Refused("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        with self.models.use(request.model_spec) as (version, servable):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response


class Status(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models):
        self.models = models

    @answering
    def GetModelStatus(self, request):
        _require_spec(request)
        spec = request.model_spec
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
            status.status.error_message = version.error
        return response


def _require_spec(request):
    if not request.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")


def register(server, models):
    """Adds the services to a `grpc.Server`; health follows the models: "" (or a service's name) for all, each by its name."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(models), server)
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    def tell():
        ready = {name: bool(model.available()) for name, model in models.models.items()}
        everything = all(ready.values())
        states = {"": everything, "PredictionService": everything, "ModelService": everything} | ready
        for name, good in states.items():
            serving = health_pb2.HealthCheckResponse
            servicer.set(name, serving.SERVING if good else serving.NOT_SERVING)

    models.changed = tell
    tell()
