"""Which methods the server has over gRPC."""

from serving.core import Method, Stream
from serving.health import Health
from serving.services import Services


def methods(services: Services, health: Health) -> dict[str, Method | Stream]:
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
    return {f"/{service}/{name}": method for service, rows in table.items() for name, method in rows.items()}
