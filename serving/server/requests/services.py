"""The services of TensorFlow Serving's API: from a request of any transport to the message that answers it.

Their other methods are UNIMPLEMENTED.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack

from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import tensors
from serving.server.configuration.follow import REQUEST, Config
from serving.server.configuration.model_config import models_in
from serving.server.models.versions import Models
from serving.server.observation import prometheus
from serving.server.refusal import Refused, cut
from serving.server.requests import checks, examples
from serving.server.requests.jobs import Steps, job_of, once
from serving.server.requests.limits import Limits
from serving.server.requests.request import Request
from serving.server.transport import json_answers, json_examples, json_tensors, json_values


class Services:
    """The methods of both services; each raises `Refused` for a request that cannot be answered.

    Those that run a model do so in steps: take them with `serving.server.requests.jobs.follow`, or `serving.server.requests.jobs.now`.

    Args:
        models: The served models.
        limits: Limits of one request.
        take_over: Serves a configuration from now on; raises `Refused`. By default, in this process.
        check_methods: Whether a signature is refused whose `method_name` is not that of the call.
        as_content: Whether Predict answers with `tensor_content`, instead of a field for each type.
    """

    def __init__(
        self,
        models: Models,
        limits: Limits,
        take_over: Callable[[Config], None] | None = None,
        *,
        check_methods: bool = False,
        as_content: bool = False,
    ) -> None:
        self.models, self.limits = models, limits
        self._take_over = take_over or (lambda config: models.reload(models_in(config)))
        self.check_methods, self.as_content = check_methods, as_content

    def predict(self, request: Request) -> Steps:
        """Answers Predict with a `PredictResponse`."""
        response = predict_pb2.PredictResponse()
        with ExitStack() as stack:
            with request.parsed(predict_pb2.PredictRequest) as message:
                spec = _spec(message, request)
                version, servable = stack.enter_context(self.models.use(spec))
                signature_name = spec.signature_name or examples.DEFAULT
                request.version, request.signature = str(version), signature_name
                signature = servable.signature(signature_name)
                self._check_method(signature, "prediction", examples.PREDICT, examples.CLASSIFY, examples.REGRESS)
                inputs, requested = checks.read(
                    signature, message.inputs, message.output_filter, self.limits, request.reserve
                )
                response.model_spec.name = spec.name
                del message, spec  # they take much more memory than what was read from them
            (outputs,) = yield from _timed(request, once(job_of(servable, inputs, [(signature_name, requested)])))
        _answer_spec(response.model_spec, response.model_spec.name, signature_name, version)
        for name, value in outputs.items():
            try:
                tensors.fill(response.outputs[name], value, content=self.as_content)
            except ValueError as error:
                raise Refused("UNIMPLEMENTED", f"output {name}: {error}") from None
        return response

    def classify(self, request: Request) -> Steps:
        """Answers Classify with a `ClassificationResponse`."""
        return self._infer(request, examples.CLASSIFY, classification_pb2.ClassificationResponse())

    def regress(self, request: Request) -> Steps:
        """Answers Regress with a `RegressionResponse`."""
        return self._infer(request, examples.REGRESS, regression_pb2.RegressionResponse())

    def predict_json(self, request: Request, spec: Message) -> Steps:
        """Answers a REST request of predict for a `ModelSpec`; its message is JSON."""
        body, alone = request.take()
        with ExitStack() as stack:
            with alone:
                document = json_values.parse(body)
                name = json_values.signature_name(document) or examples.DEFAULT
                version, servable = stack.enter_context(self.models.use(spec))
                request.version, request.signature = str(version), name
                if name not in servable.signatures:
                    raise checks.invalid(f'Serving signature name: "{name}" not found in signature def')
                signature = servable.signatures[name]
                if not signature.inputs:
                    raise checks.invalid(f"Failed to get input map for signature: {name}")
                self._check_method(signature, "prediction", examples.PREDICT, examples.CLASSIFY, examples.REGRESS)
                inputs, rows = json_tensors.inputs(document, signature.inputs, self.limits, request.reserve)
                del document, body
            job = job_of(servable, inputs, [(name, sorted(signature.outputs))])
            (outputs,) = yield from _timed(request, once(job))
        return json_answers.outputs(outputs, rows)

    def classify_json(self, request: Request, spec: Message) -> Steps:
        """Answers a REST request of classify."""
        return json_answers.classifications((yield from self._infer_json(request, spec, examples.CLASSIFY)))

    def regress_json(self, request: Request, spec: Message) -> Steps:
        """Answers a REST request of regress."""
        return json_answers.regressions((yield from self._infer_json(request, spec, examples.REGRESS)))

    def _infer_json(self, request, spec, method):
        body, alone = request.take()
        with alone:
            document = json_values.parse(body)
            spec.signature_name = json_values.signature_name(document)
            given, context = json_examples.examples(document)
            message = examples.RawRequest()
            if context is None:
                message.input.example_list.examples.extend(given)
            else:
                message.input.example_list_with_context.examples.extend(given)
                message.input.example_list_with_context.context = context
        result, _, _ = yield from self._examples(request, spec, method, message.input)
        return result

    def _infer(self, request, method, response):
        message = request.message(examples.RawRequest)
        spec = _spec(message, request)
        result, name, version = yield from self._examples(request, spec, method, message.input)
        response.result.CopyFrom(result)
        _answer_spec(response.model_spec, spec.name, name, version)
        return response

    def _examples(self, request, spec, method, given):
        """Steps that return (result of one signature for an `Input`, its name, the version)."""
        name = spec.signature_name or examples.DEFAULT
        with self.models.use(spec) as (version, servable):
            request.version, request.signature = str(version), name
            if name in servable.signatures:
                self._check_method(servable.signatures[name], *METHODS[method])
            request.examples = examples.count(given)
            kind = examples.KINDS[method]
            steps = examples.run(kind, servable, name, given, self.limits, request.reserve)
            result = yield from _timed(request, steps)
        return result, name, version

    def multi_inference(self, request: Request) -> Steps:
        """Answers MultiInference with a `MultiInferenceResponse`: the first task's model_spec says which version answers all."""
        message = request.message(examples.RawMultiRequest)
        specs = [task.model_spec for task in message.tasks] or [inference_pb2.InferenceTask().model_spec]
        request.model = specs[0].name
        with self.models.use(specs[0]) as (version, servable):
            request.version, request.examples = str(version), examples.count(message.input)
            for spec in specs:
                if not spec.name:
                    raise checks.invalid("Found ModelSpec with an empty model name.")
                if spec.name != specs[0].name:
                    raise checks.invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            tasks = [(task.model_spec.signature_name or examples.DEFAULT, task.method_name) for task in message.tasks]
            for name, method in tasks:
                if method in METHODS and name in servable.signatures:
                    self._check_method(servable.signatures[name], *METHODS[method])
            request.signature = ",".join(name for name, _ in tasks)
            steps = examples.run_together(tasks, servable, message.input, self.limits, request.reserve)
            results = yield from _timed(request, steps)
        response = inference_pb2.MultiInferenceResponse()
        for (name, method), result in zip(tasks, results, strict=True):
            added = response.results.add()
            kind = "classification" if method == examples.CLASSIFY else "regression"
            getattr(added, f"{kind}_result").CopyFrom(result)
            _answer_spec(added.model_spec, specs[0].name, name, version)
        return response

    def _check_method(self, signature, call, *names):
        """Raises `Refused` if that is asked for, and the signature's `method_name` is none of the names."""
        if self.check_methods and signature.method_name not in names:
            expected = names[0] if len(names) == 1 else f"one of {{{', '.join(names)}}}"
            code = "INVALID_ARGUMENT" if len(names) == 1 else "INTERNAL"
            raise Refused(code, f"Expected {call} signature method_name to be {expected}. Was: {signature.method_name}")

    def metadata(self, request: Request) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers GetModelMetadata."""
        message = request.message(get_model_metadata_pb2.GetModelMetadataRequest)
        spec = _spec(message, request)
        if not message.metadata_field:
            raise Refused("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for field in message.metadata_field:
            if field != "signature_def":
                raise Refused("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        return self.metadata_of(spec)

    def metadata_of(self, spec: Message) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of a `ModelSpec`'s version."""
        with self.models.use(spec) as (version, servable):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, request: Request) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers GetModelStatus."""
        spec = _spec(request.message(get_model_status_pb2.GetModelStatusRequest), request)
        return self.status_of(spec)

    def status_of(self, spec: Message) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of the versions of a `ModelSpec`."""
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

    def reload(self, request: Request) -> model_management_pb2.ReloadConfigResponse:
        """Answers HandleReloadConfigRequest, when the models of the new configuration are ready; takes as long."""
        message = request.message(model_management_pb2.ReloadConfigRequest)
        before = {name: prometheus.first(name) for name in message.metric_names}
        self._take_over((REQUEST, message.config.SerializeToString()))
        response = model_management_pb2.ReloadConfigResponse(status={})
        for name, value in before.items():
            response.metric.add(name=name, int64_value_increase=prometheus.first(name) - value)
        return response


METHODS = {examples.CLASSIFY: ("classification", examples.CLASSIFY), examples.REGRESS: ("regression", examples.REGRESS)}


def _answer_spec(spec, name, signature, version):
    spec.name, spec.signature_name, spec.version.value = name, signature, version


def _spec(message, request):
    """Returns the model_spec of a request's message; raises `Refused` if it has none."""
    if not message.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model = message.model_spec.name
    return message.model_spec


def _timed(request, steps):
    """The same steps; notes the seconds that they took, with the wait for a batch, as in TensorFlow Serving."""
    began = time.monotonic()
    try:
        return (yield from steps)
    finally:
        request.runtime = time.monotonic() - began
