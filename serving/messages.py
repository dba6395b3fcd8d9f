"""The protocol buffer messages of TensorFlow Serving's Predict call, without TensorFlow.

`python -m serving.messages` generates the descriptor set `messages.binpb` from tensorflow-serving-api. The classes are
built from it at import, in a separate pool, so that they do not conflict with TensorFlow's in the same process.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = Path(__file__).with_suffix(".binpb")
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def _classes(*names):
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(FILE.read_bytes()).file:
        pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]


def generate() -> bytes:
    """Returns the serialized descriptor set of Predict's messages and their dependencies."""
    from tensorflow_serving.apis import predict_pb2

    files = {}

    def add(file):
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])

    add(predict_pb2.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


if __name__ == "__main__":
    FILE.write_bytes(generate())
else:
    PredictRequest, PredictResponse, TensorProto = _classes(
        "tensorflow.serving.PredictRequest", "tensorflow.serving.PredictResponse", "tensorflow.TensorProto"
    )
