"""`grpc.reflection`: tells tools such as grpcurl which services there are, and the files that describe their messages."""

from collections.abc import Iterable, Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from serving.server.transport.call import Call

VERSIONS = ("v1", "v1alpha")  # the same messages under two names
NOT_FOUND = 5  # of gRPC

STRING, BYTES, INTEGER = (
    getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name}") for name in ("STRING", "BYTES", "INT32")
)
# Message -> (name, number, type or message, repeated) of its fields; of those in ONE_OF, a message has one
MESSAGES = {
    "ExtensionRequest": (("containing_type", 1, STRING, False), ("extension_number", 2, INTEGER, False)),
    "ServerReflectionRequest": (
        ("host", 1, STRING, False), ("file_by_filename", 3, STRING, False), ("file_containing_symbol", 4, STRING, False),
        ("file_containing_extension", 5, "ExtensionRequest", False), ("all_extension_numbers_of_type", 6, STRING, False),
        ("list_services", 7, STRING, False),
    ),
    "FileDescriptorResponse": (("file_descriptor_proto", 1, BYTES, True),),
    "ExtensionNumberResponse": (("base_type_name", 1, STRING, False), ("extension_number", 2, INTEGER, True)),
    "ServiceResponse": (("name", 1, STRING, False),),
    "ListServiceResponse": (("service", 1, "ServiceResponse", True),),
    "ErrorResponse": (("error_code", 1, INTEGER, False), ("error_message", 2, STRING, False)),
    "ServerReflectionResponse": (
        ("valid_host", 1, STRING, False), ("original_request", 2, "ServerReflectionRequest", False),
        ("file_descriptor_response", 4, "FileDescriptorResponse", False),
        ("all_extension_numbers_response", 5, "ExtensionNumberResponse", False),
        ("list_services_response", 6, "ListServiceResponse", False), ("error_response", 7, "ErrorResponse", False),
    ),
}  # fmt: skip
ONE_OF = {"ServerReflectionRequest": 3, "ServerReflectionResponse": 4}  # fields from that number on


def _file(version):
    """Returns the description of one version of the service."""
    package = f"grpc.reflection.{version}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, rows in MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in ONE_OF:
            message.oneof_decl.add(name="kind")
        for field, number, kind, repeated in rows:
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                added.type, added.type_name = added.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = kind
            if name in ONE_OF and number >= ONE_OF[name]:
                added.oneof_index = 0
    file.service.add(name="ServerReflection").method.add(
        name="ServerReflectionInfo", client_streaming=True, server_streaming=True,
        input_type=f".{package}.ServerReflectionRequest", output_type=f".{package}.ServerReflectionResponse",
    )  # fmt: skip
    return file


_pool = descriptor_pool.DescriptorPool()
for _version in VERSIONS:
    _pool.Add(_file(_version))
Request, Response = (
    message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"grpc.reflection.v1.{name}"))
    for name in ("ServerReflectionRequest", "ServerReflectionResponse")
)


class Reflection:
    """The service.

    Args:
        services: Full names of the services of this server.
        pools: Where their messages are described; the first that knows a name is asked.
    """

    def __init__(self, services: Iterable[str], pools: Iterable[descriptor_pool.DescriptorPool]) -> None:
        self._services, self._pools = sorted(services), [*pools, _pool]

    def info(self, call: Call, message: bytes | None) -> None:
        """Answers one request of a call; the next is asked for when the answer is sent."""
        if message is None:
            return call.finish()
        try:
            request = Request.FromString(message)
        except DecodeError:
            name = Request.DESCRIPTOR.full_name
            return call.refuse("INVALID_ARGUMENT", f"expected a {name}, received {len(message)} bytes that are none")
        response = Response(valid_host=request.host, original_request=request)
        self._answer(request, response)
        call.sent_hook = call.receive
        call.send(response.SerializeToString())

    def _answer(self, request, response):
        kind = request.WhichOneof("kind")
        if kind == "list_services":
            for name in self._services:
                response.list_services_response.service.add(name=name)
        elif kind in ("file_by_filename", "file_containing_symbol"):
            files = self._files(kind, getattr(request, kind))
            response.file_descriptor_response.file_descriptor_proto.extend(files.values())
            if not files:
                response.error_response.error_code = NOT_FOUND
                response.error_response.error_message = f"{getattr(request, kind)} not found"
        elif kind == "all_extension_numbers_of_type":
            response.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
        else:  # no message of ours has extensions
            response.error_response.error_code = NOT_FOUND
            response.error_response.error_message = "no extension found"

    def _files(self, kind, name) -> Mapping[str, bytes]:
        """Returns {name: file} of the file that is asked for and all that it needs, itself first."""
        for pool in self._pools:
            try:
                file = pool.FindFileByName(name) if kind == "file_by_filename" else pool.FindFileContainingSymbol(name)
            except KeyError:
                continue
            files: dict[str, bytes] = {}

            def add(file, files=files):
                if file.name not in files:
                    for dependency in file.dependencies:
                        add(dependency)
                    files[file.name] = file.serialized_pb

            add(file)
            return dict(reversed(files.items()))
        return {}
