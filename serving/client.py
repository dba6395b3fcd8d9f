"""`python -m serving.client TASK --text "..."`: asks a server, prints one JSON object a row.

Needs grpcio, protobuf and numpy, not TensorFlow. The keys are those of `python -m trainer predict`.
"""

import argparse
import os
import re
import sys

import grpc

from serving import tensors
from serving.messages import PREDICT, PredictRequest, PredictResponse
from trainer import writing
from trainer.data import files
from trainer.errors import Failure, Mistake, defect
from trainer.tasks.table import LISTS, TASKS, answers, requests

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Client:
    """A connection to one server; any thread may call it.

    Args:
        server: `host:port`.
        timeout: Seconds that one request may take.

    Raises:
        grpc.RpcError: On a call: the server's refusal, or that none answers.
        KeyError: On `answer`: the model has not the task's outputs.
    """

    def __init__(self, server="localhost:8500", *, timeout=30.0):
        self.channel = grpc.insecure_channel(server, options=UNLIMITED)
        self.timeout = timeout
        self._predict = self.channel.unary_unary(
            PREDICT,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    def predict(self, model, inputs, *, signature=""):
        """Returns the outputs {name: array} of `model` for `inputs` {name: array}; strings come as bytes."""
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            tensors.fill(request.inputs[name], value)
        response = self._predict(request, timeout=self.timeout)
        return {name: tensors.to_array(proto) for name, proto in response.outputs.items()}

    def answer(self, task, rows, *, model=None, signature=None):
        """Returns one dict a row: the row's fields and its answer.

        Args:
            task: Name of a task, as `sentiment`.
            rows: Dicts with the fields of one of the task's inputs.
            model: Name of the model on the server; the task's by default.
            signature: One of the task's `more`, as `nbest`.
        """
        found = []
        for asked, inputs, part in requests(TASKS[task], rows, len(rows), signature):
            outputs = self.predict(model or task, inputs, signature=asked)
            found += answers(TASKS[task], part, outputs)
        return found


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m serving.client", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.error = lambda message: _fail(2, f"{message} (see --help)")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, task in TASKS.items():
        command = tasks.add_parser(name, allow_abbrev=False)
        command.error = parser.error
        for field in task.fields:
            command.add_argument(f"--{field}", nargs="+" if field in LISTS else None, help="one row, given here")
        if task.more:
            command.add_argument("--signature", choices=task.more, help="ask this one instead")
        command.add_argument("--input", help="file of rows, as for `trainer predict`; - for standard input")
        command.add_argument(
            "--lines",
            choices=(files.LABELLED, files.TEXTS),
            help="what the lines of --input are, where each begins with a label, which `labelled` drops",
        )
        command.add_argument("--output", help="file to write; default: standard output")
        command.add_argument("--server", default="localhost:8500", help="host:port (default: %(default)s)")
        command.add_argument("--model", help=f"model on the server (default: {name})")
        command.add_argument("--batch_size", type=int, default=32, help="rows a request (default: %(default)s)")
        command.add_argument("--timeout", type=float, default=30.0, help="seconds a request (default: %(default)s)")
    options = parser.parse_args(arguments)
    task = TASKS[options.task]
    given = {field: getattr(options, field) for field in task.fields if getattr(options, field) is not None}
    inputs = [fields for _, fields in task.inputs]
    if bool(given) == bool(options.input) or (given and not any(set(fields) == set(given) for fields in inputs)):
        forms = ", or ".join(f"--{' --'.join(fields)}" for fields in reversed(inputs))
        _fail(2, f"expected {forms}, or --input FILE")
    if options.batch_size < 1:
        _fail(2, f"--batch_size: expected more than 0, received {options.batch_size}")
    if not re.fullmatch(r".+:\d+", options.server):
        _fail(2, f"--server: expected host:port, received {options.server}")
    try:
        inputs = {"--input": options.input} if options.input else {}
        rows = files.read(options.input, task, lines=options.lines) if options.input else [given]
        client = Client(options.server, timeout=options.timeout)
        with writing.opened(options.output, inputs) as file:
            for i in range(0, len(rows), options.batch_size):
                part = rows[i : i + options.batch_size]
                for answer in client.answer(
                    options.task, part, model=options.model, signature=getattr(options, "signature", None)
                ):
                    writing.print_json(answer, file)
    except Mistake as mistake:
        _fail(2, mistake)
    except Failure as failure:
        _fail(1, failure)
    except grpc.RpcError as error:
        _fail(1, f"{options.server}: {error.code().name}: {error.details()}")
    except KeyError as error:
        _fail(
            1, f"{options.server}: model {options.model or options.task} is none for {options.task}: no output {error}"
        )
    except KeyboardInterrupt:
        _fail(130, "interrupted")
    except BrokenPipeError:  # whoever read the results has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _fail(1, defect(error))


def _fail(status, message):
    print(f"python -m serving.client: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
