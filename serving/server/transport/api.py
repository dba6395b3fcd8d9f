"""Which methods the server has over gRPC."""

from google.protobuf import descriptor_pool
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2  # noqa: F401  described for reflection

from serving.server.observation.profiler import SERVICE, Profiler
from serving.server.requests.services import Services
from serving.server.transport import reflection
from serving.server.transport.call import Method, Stream
from serving.server.transport.health import Health


def methods(services: Services, health: Health, profiler: Profiler | None = None) -> dict[str, Method | Stream]:
    """Returns {"/package.Service/Method": method}."""
    table: dict[str, dict[str, Method | Stream]] = {
        "tensorflow.serving.PredictionService": {
            "Predict": Method(services.predict),
            "Classify": Method(services.classify),
            "Regress": Method(services.regress),
            "MultiInference": Method(services.multi_inference),
            "GetModelMetadata": Method(services.metadata),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": Method(services.status, quick=True),
            "HandleReloadConfigRequest": Method(services.reload, apart=True),
        },
        "grpc.health.v1.Health": {
            "Check": Method(health.check, quick=True),
            "List": Method(health.list, quick=True),
            "Watch": Stream(health.watch),
        },
    }
    if profiler:
        table[SERVICE] = {
            "Profile": Method(profiler.profile, apart=True),
            "Terminate": Method(profiler.terminate, quick=True),
            "Monitor": Method(profiler.monitor, quick=True),
        }
    names = [*table, *(f"grpc.reflection.{version}.ServerReflection" for version in reflection.VERSIONS)]
    info = reflection.Reflection(names, [descriptor_pool.Default()]).info
    table |= {name: {"ServerReflectionInfo": Stream(info)} for name in names[len(table) :]}
    return {f"/{service}/{name}": method for service, rows in table.items() for name, method in rows.items()}
