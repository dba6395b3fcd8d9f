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

# What the outputs of our models are: NumPy's kinds of their types, and dimensions of a batch
STRINGS, FLOATS, INTEGERS = "OSU", "f", "iu"
OUTPUTS = {
    "label": (STRINGS, 1), "labels": (STRINGS, 2), "probabilities": (FLOATS, 2), "words": (STRINGS, 2), "tags": (STRINGS, 2),
    "answer": (STRINGS, 1), "answers": (STRINGS, 2), "null_score": (FLOATS, 1), "score": (FLOATS, 1), "scores": (FLOATS, 2),
    "start": (INTEGERS, 1), "end": (INTEGERS, 1), "starts": (INTEGERS, 2), "ends": (INTEGERS, 2),
}  # fmt: skip
LONGEST = 10**8  # seconds, three years; gRPC cannot count to much more
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Unexpected(Exception):
    """An answer that is not one to what was asked: of another model, or of a server that is broken."""


class Client:
    """A connection to one server; any thread may call it.

    Args:
        server: `host:port`.
        timeout: Seconds that one request may take.

    Raises:
        grpc.RpcError: On a call: the server's refusal, or that none answers.
        KeyError: On `answer`: the model has not the task's outputs.
        Unexpected: On a call: the answer is not one to what was asked.
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
        outputs = {}
        for name, proto in response.outputs.items():
            try:
                outputs[name] = tensors.to_array(proto)
            except ValueError as error:
                raise Unexpected(f"output {name} is not a tensor: {error}") from None
        return outputs

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
            _check(outputs, len(part))
            try:
                found += answers(TASKS[task], part, outputs)
            except UnicodeDecodeError as error:
                raise Unexpected(f"expected texts of UTF-8, received {error.object[:30]!r}") from None
            except (AttributeError, IndexError, TypeError, ValueError) as error:
                raise Unexpected(f"expected an answer for {task}, received outputs that are none ({error})") from None
        return found


def _check(outputs, rows):
    """Raises `Unexpected` unless the outputs are of so many rows, and of the types that those of our models have."""
    for name, (kinds, dimensions) in OUTPUTS.items():  # in this order: the same message each time
        if name not in outputs:
            continue
        array = outputs[name]
        received = f"{'string' if array.dtype.kind in STRINGS else array.dtype.name} {list(array.shape)}"
        if not array.shape or len(array) != rows:
            raise Unexpected(f"expected {rows} rows of output {name}, received {received}")
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            expected = {STRINGS: "strings", FLOATS: "floats", INTEGERS: "integers"}[kinds]
            raise Unexpected(f"expected output {name} to be {expected} of {dimensions} dimensions, received {received}")


def _given(options, task):
    """Returns the rows of the fields on the command line; ends the process with one line if they make none."""
    given = {field: getattr(options, field) for field in task.fields if getattr(options, field) is not None}
    for field in LISTS:
        if len(given.get(field, ())) > 1:
            _fail(2, f"--{field}: expected once, for one row is all of it; received {len(given[field])} times")
    inputs = [fields for _, fields in task.inputs]
    if bool(given) == bool(options.input) or (given and not any(set(fields) == set(given) for fields in inputs)):
        forms = ", or ".join(f"--{' --'.join(fields)}" for fields in reversed(inputs))
        _fail(2, f"expected {forms}, or --input FILE")
    if len({len(values) for values in given.values()}) > 1:
        received = ", ".join(f"{len(values)} --{field}" for field, values in given.items())
        _fail(2, f"expected as many of each, received {received}")
    return [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]


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
            # Each use of a list of words is a row of its own; of a text, each text is.
            action, text = (
                ("append", "words of one row") if field in LISTS else ("extend", "of each row one, given here")
            )
            command.add_argument(f"--{field}", nargs="+", action=action, help=text)
        if task.more:
            command.add_argument("--signature", choices=task.more, help="ask this one instead")
        command.add_argument("--input", help="file of rows, as for `trainer predict`; - for standard input")
        command.add_argument(
            "--lines",
            choices=(files.LABELLED, files.TEXTS),
            help="what the lines of --input are, where each begins with a label, which `labelled` drops",
        )
        command.add_argument("--output", help="file to write; default: standard output")
        command.add_argument(
            "--server", default="localhost:8500", help="host:port, or unix:PATH (default: %(default)s)"
        )
        command.add_argument("--model", help=f"model on the server (default: {name})")
        command.add_argument("--batch_size", type=int, default=32, help="rows a request (default: %(default)s)")
        command.add_argument("--timeout", type=float, default=30.0, help="seconds a request (default: %(default)s)")
    options = parser.parse_args(arguments)
    task = TASKS[options.task]
    given = _given(options, task)
    if not 0 < options.timeout <= LONGEST:
        _fail(2, f"--timeout: expected seconds, more than 0 and at most {LONGEST}, received {options.timeout}")
    if options.batch_size < 1:
        _fail(2, f"--batch_size: expected more than 0, received {options.batch_size}")
    if not re.fullmatch(r".+:\d+|unix:.+", options.server):
        _fail(2, f"--server: expected host:port, received {options.server}")
    try:
        inputs = {"--input": options.input} if options.input else {}
        rows = files.read(options.input, task, lines=options.lines) if options.input else given
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
        _fail(1, f"{options.server}: {error.code().name}: {' '.join((error.details() or '').split())}")
    except Unexpected as error:
        _fail(1, f"{options.server}: model {options.model or options.task}: {error}")
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
