"""Server reflection: what grpcurl and its kin ask, over a channel."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from tensorflow_serving.apis import predict_pb2

from serving.server.transport.reflection import Request, Response


@pytest.fixture(params=["v1", "v1alpha"])
def ask(server, request):
    """Returns a function from requests to their responses, all of one call."""
    with grpc.insecure_channel(server.address) as channel:
        method = channel.stream_stream(
            f"/grpc.reflection.{request.param}.ServerReflection/ServerReflectionInfo",
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )
        yield lambda *requests: list(method(iter([Request(**fields) for fields in requests]), timeout=30))


def test_services_and_their_messages(ask):
    listed, file, again, missing, extension, none = ask(
        {"list_services": ""},
        {"file_containing_symbol": "tensorflow.serving.PredictionService"},
        {"file_by_filename": "tensorflow_serving/apis/predict.proto"},
        {"file_containing_symbol": "no.such.Service"},
        {"file_containing_extension": {"containing_type": "a", "extension_number": 1}},
        {},
    )
    names = [service.name for service in listed.list_services_response.service]
    assert names == [
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
        "tensorflow.ProfilerService", "tensorflow.serving.ModelService", "tensorflow.serving.PredictionService",
    ]  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    for content in reversed(file.file_descriptor_response.file_descriptor_proto):  # as a client puts them together
        pool.Add(descriptor_pb2.FileDescriptorProto.FromString(content))
    method = pool.FindServiceByName("tensorflow.serving.PredictionService").FindMethodByName("Predict")
    assert method.input_type.fields_by_name.keys() == predict_pb2.PredictRequest.DESCRIPTOR.fields_by_name.keys()
    assert again.file_descriptor_response.file_descriptor_proto[0] == predict_pb2.DESCRIPTOR.serialized_pb
    for response in (missing, extension, none):
        assert response.error_response.error_code == 5
    assert missing.error_response.error_message == "no.such.Service not found"
    assert listed.original_request.WhichOneof("kind") == "list_services"


def test_every_service_that_is_listed_is_described(ask):
    (listed,) = ask({"list_services": ""})
    for service in listed.list_services_response.service:
        (response,) = ask({"file_containing_symbol": service.name})
        assert response.file_descriptor_response.file_descriptor_proto, service.name


def test_no_message(server):
    with grpc.insecure_channel(server.address) as channel:
        method = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as caught:
            list(method(iter([b"\xff"]), timeout=30))
        assert caught.value.code().name == "INVALID_ARGUMENT"
        assert not list(method(iter([]), timeout=30))
        with pytest.raises(grpc.RpcError) as caught:
            list(method(iter([b"a" * 10**6]), timeout=30))
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"
