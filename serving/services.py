"""The gRPC services: TensorFlow Serving's PredictionService and ModelService.

A method that is not here answers UNIMPLEMENTED.
"""

from contextlib import ExitStack

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving import checks, tensors
from serving.health import Health
from serving.refusal import Refused, cut


def answering(gate, method, *, threads=None):
    """Returns a handler that turns `Refused` into a gRPC status; any other error is ours: INTERNAL, with its text.

    It is one for a stream of messages, of which the client sends one: gRPC calls such a handler before the message is
    there, so that waiting for it is ours to bound; and it gets bytes, for gRPC would read them in the thread on which all
    calls come in. `threads`: its own, in which it is answered also when the server ends.
    """

    def answer(messages, context):
        try:
            if not threads:
                gate.require_in_time()
            data = gate.message(messages, context)
            with gate.bytes() as hold:
                hold(len(data))
                return method(data, context, hold)
        except Refused as refusal:
            code, message = refusal.code, refusal.message
        except grpc.RpcError:  # the client has gone
            raise
        except MemoryError:
            code, message = "RESOURCE_EXHAUSTED", "not enough memory for this request"
        except Exception as error:
            code, message = "INTERNAL", f"{type(error).__name__}: {error}"
        context.abort(grpc.StatusCode[code], cut(message))

    if threads:
        answer.experimental_thread_pool = threads
    return grpc.stream_unary_rpc_method_handler(
        answer, response_serializer=lambda response: response.SerializeToString()
    )


class Services:
    """The methods; each takes the bytes of its request, its context, and what counts the bytes that it holds.

    Args:
        models: `Models`.
        gate: `Gate`.
        limits: `Limits`.
    """

    def __init__(self, models, gate, limits):
        self.models, self.gate, self.limits = models, gate, limits

    def predict(self, data, context, hold):
        with self.gate.turn(context):
            return self._predict(data, hold)

    def _predict(self, data, hold):
        response = predict_pb2.PredictResponse()
        with ExitStack() as stack:
            with self.gate.reading(data):
                request = _read(predict_pb2.PredictRequest, data)
                spec = request.model_spec
                version, servable = stack.enter_context(self.models.use(spec))
                signature_name = spec.signature_name or "serving_default"
                signature = servable.signature(signature_name)
                inputs, wanted = checks.read(signature, request.inputs, request.output_filter, self.limits, hold)
                response.model_spec.name = spec.name
                del request, spec  # they hold much more than was read from them
            outputs = servable.run(signature_name, inputs, wanted)
        response.model_spec.signature_name = signature_name
        response.model_spec.version.value = version
        for name, value in outputs.items():
            try:
                tensors.fill(response.outputs[name], value)
            except ValueError as error:
                raise Refused("UNIMPLEMENTED", f"output {name}: {error}") from None
        return response

    def metadata(self, data, context, hold):
        with self.gate.reading(data):
            request = _read(get_model_metadata_pb2.GetModelMetadataRequest, data)
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

    def status(self, data, context, hold):
        with self.gate.reading(data):
            spec = _read(get_model_status_pb2.GetModelStatusRequest, data).model_spec
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


def _read(message, data):
    """Returns the request that the bytes hold; raises `Refused` if they hold none, or one that asks for no model."""
    try:
        request = message.FromString(data)
    except DecodeError:
        expected = message.DESCRIPTOR.full_name
        raise Refused("INVALID_ARGUMENT", f"expected a {expected}, received {len(data)} bytes that are none") from None
    if not request.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
    return request


def register(server, models, gate, limits):
    """Adds the services to a `grpc.Server`; returns its `Health`."""
    own, health = Services(models, gate, limits), Health(models, gate)
    methods = {
        "tensorflow.serving.PredictionService": {
            "Predict": answering(gate, own.predict),
            "GetModelMetadata": answering(gate, own.metadata),
        },
        "tensorflow.serving.ModelService": {"GetModelStatus": answering(gate, own.status)},
        "grpc.health.v1.Health": {
            "Check": answering(gate, health.check, threads=health.threads),
            "Watch": health.watching(),
        },
    }
    for service, handlers in methods.items():
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    return health
