"""Protocol buffer messages declared by name, field and number, for those that no installed package has."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {"string": FIELD.TYPE_STRING, "bytes": FIELD.TYPE_BYTES, "bool": FIELD.TYPE_BOOL, "int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64,
           "uint64": FIELD.TYPE_UINT64}  # fmt: skip


def declare(
    pool: descriptor_pool.DescriptorPool,
    name: str,
    messages: Mapping[str, Mapping[str, tuple[int, str]]],
    dependencies: Iterable[str] = (),
    *,
    package: str = "tensorflow.serving",
    services: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
    one_of: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns {message: its class}.

    Args:
        pool: Where they are added.
        name: Of the file that would declare them.
        messages: {message: {field: (number, type)}}; a type is a scalar's, one of these messages', or, after a dot, the
            full name of another's; "repeated" in front of it if so. Other fields are kept unread.
        dependencies: Names of the files of the others.
        package: Of the messages.
        one_of: {message: name of the choice} of those that have one of their fields.
        services: {service: {method: (message of the requests, message of the responses)}}.
    """
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3", dependency=dependencies)
    for message, fields in messages.items():
        added = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            kind = kind.removeprefix("repeated ") if (repeated := kind.startswith("repeated ")) else kind
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            row = added.field.add(name=field, number=number, label=label)
            if kind in SCALARS:
                row.type = SCALARS[kind]
            else:
                row.type, row.type_name = FIELD.TYPE_MESSAGE, kind if kind[0] == "." else f".{package}.{kind}"
        if choice := (one_of or {}).get(message):
            added.oneof_decl.add(name=choice)
            for row in added.field:
                row.oneof_index = 0
    for service_name, methods in (services or {}).items():
        service = file.service.add(name=service_name)
        for method, kinds in methods.items():
            taken, given = (f".{package}.{kind}" for kind in kinds)
            service.method.add(name=method, input_type=taken, output_type=given)
    pool.Add(file)
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))
        for message in messages
    }
