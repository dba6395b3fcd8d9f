"""The protocol buffer messages of TensorFlow Serving's calls that the client makes, without TensorFlow.

`python -m serving.messages` generates the descriptor set `messages.binpb` from tensorflow-serving-api. The classes are
built from it at import, in a separate pool, so that they do not conflict with TensorFlow's in the same process.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = Path(__file__).with_suffix(".binpb")
NAMES = (
    "PredictRequest", "PredictResponse", "GetModelStatusRequest", "GetModelStatusResponse", "GetModelMetadataRequest",
    "GetModelMetadataResponse", "SignatureDefMap", "ReloadConfigRequest", "ReloadConfigResponse",
)  # fmt: skip
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def _classes(*names):
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(FILE.read_bytes()).file:
        pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]


def generate() -> bytes:
    """Returns the serialized descriptor set of the messages and their dependencies."""
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        predict_pb2,
    )

    files = {}

    def add(file):
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])

    for module in (predict_pb2, get_model_status_pb2, get_model_metadata_pb2, model_management_pb2):
        add(module.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


if __name__ == "__main__":
    FILE.write_bytes(generate())
else:
    (
        TensorProto, PredictRequest, PredictResponse, GetModelStatusRequest, GetModelStatusResponse,
        GetModelMetadataRequest, GetModelMetadataResponse, SignatureDefMap, ReloadConfigRequest, ReloadConfigResponse,
    ) = _classes("tensorflow.TensorProto", *(f"tensorflow.serving.{name}" for name in NAMES))  # fmt: skip
