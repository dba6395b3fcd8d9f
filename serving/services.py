"""The gRPC services: TensorFlow Serving's PredictionService and ModelService.

Their other methods are UNIMPLEMENTED.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving import checks, tensors
from serving.gate import Gate
from serving.health import Health
from serving.limits import Limits
from serving.refusal import Refused, cut
from serving.versions import Models

Reserve = Callable[[int], None]  # counts bytes that a request takes, see `Gate.memory`
Method = Callable[[bytes, grpc.ServicerContext, Reserve], Message]


def rpc_handler(gate: Gate, method: Method, *, threads: ThreadPoolExecutor | None = None) -> grpc.RpcMethodHandler:
    """Returns a handler that turns `Refused` into its gRPC status, and any other error into INTERNAL.

    The handler takes a stream of messages, of which the client sends one: gRPC calls such a handler before the message
    has arrived, so that the wait for it can be bounded here. It takes bytes: gRPC would parse them in the one thread
    that accepts all calls.

    Args:
        gate: The server's.
        method: The method of a service.
        threads: A separate pool for its calls, which are then answered during the shutdown, too.
    """

    def answer(messages, context):
        try:
            if not threads:
                gate.require_in_time()
            data = gate.message(messages, context)
            with gate.memory() as reserve:
                reserve(len(data))
                return method(data, context, reserve)
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
        answer.experimental_thread_pool = threads  # type: ignore[attr-defined]  # read by gRPC
    return grpc.stream_unary_rpc_method_handler(
        answer, response_serializer=lambda response: response.SerializeToString()
    )


class Services:
    """The methods of both services.

    Each takes the bytes of its request, its context, and a function that reserves memory for it. Each raises `Refused`
    for a request that cannot be answered.

    Args:
        models: The served models.
        gate: The server's.
        limits: Limits of one request.
    """

    def __init__(self, models: Models, gate: Gate, limits: Limits) -> None:
        self.models, self.gate, self.limits = models, gate, limits

    def predict(self, data: bytes, context: grpc.ServicerContext, reserve: Reserve) -> predict_pb2.PredictResponse:
        """Answers Predict."""
        with self.gate.turn(context):
            return self._predict(data, reserve)

    def _predict(self, data, reserve):
        response = predict_pb2.PredictResponse()
        with ExitStack() as stack:
            with self.gate.parsing(data):
                request = _parse(predict_pb2.PredictRequest, data)
                spec = request.model_spec
                version, servable = stack.enter_context(self.models.use(spec))
                signature_name = spec.signature_name or "serving_default"
                signature = servable.signature(signature_name)
                inputs, requested = checks.read(signature, request.inputs, request.output_filter, self.limits, reserve)
                response.model_spec.name = spec.name
                del request, spec  # they take much more memory than what was read from them
            outputs = servable.run(signature_name, inputs, requested)
        response.model_spec.signature_name = signature_name
        response.model_spec.version.value = version
        for name, value in outputs.items():
            try:
                tensors.fill(response.outputs[name], value)
            except ValueError as error:
                raise Refused("UNIMPLEMENTED", f"output {name}: {error}") from None
        return response

    def metadata(
        self, data: bytes, context: grpc.ServicerContext, reserve: Reserve
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers GetModelMetadata."""
        with self.gate.parsing(data):
            request = _parse(get_model_metadata_pb2.GetModelMetadataRequest, data)
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

    def status(
        self, data: bytes, context: grpc.ServicerContext, reserve: Reserve
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers GetModelStatus."""
        with self.gate.parsing(data):
            spec = _parse(get_model_status_pb2.GetModelStatusRequest, data).model_spec
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


def _parse(message, data):
    """Returns the request; raises `Refused` if the bytes are not such a message, or it has no model_spec."""
    try:
        request = message.FromString(data)
    except DecodeError:
        expected = message.DESCRIPTOR.full_name
        raise Refused("INVALID_ARGUMENT", f"expected a {expected}, received {len(data)} bytes that are none") from None
    if not request.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
    return request


def register(server: grpc.Server, models: Models, gate: Gate, limits: Limits) -> Health:
    """Adds all services to a server; returns its health service."""
    services, health = Services(models, gate, limits), Health(models, gate)
    methods = {
        "tensorflow.serving.PredictionService": {
            "Predict": rpc_handler(gate, services.predict),
            "GetModelMetadata": rpc_handler(gate, services.metadata),
        },
        "tensorflow.serving.ModelService": {"GetModelStatus": rpc_handler(gate, services.status)},
        "grpc.health.v1.Health": {
            "Check": rpc_handler(gate, health.check, threads=health.threads),
            "Watch": health.watch_handler(),
        },
    }
    for service, handlers in methods.items():
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    return health
