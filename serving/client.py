"""`python -m serving.client TASK --text "..."`: asks a server, prints one JSON object a row.

Needs grpcio, protobuf and numpy, not TensorFlow. The keys are those of `python -m trainer predict`.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import grpc
import numpy as np
from numpy.typing import ArrayLike

from serving import tensors
from serving.messages import PREDICT, PredictRequest, PredictResponse
from trainer import writing
from trainer.data import answered, files
from trainer.data.layout import CELLS, TEXT
from trainer.errors import Failure, Mistake, defect
from trainer.options import columns
from trainer.tasks.table import LISTS, TASKS, answers, requests

# Outputs of the exported models -> (NumPy kinds of their types, dimensions including the batch)
STRINGS, FLOATS, INTEGERS = "OSU", "f", "iu"
OUTPUTS = {
    "label": (STRINGS, 1), "labels": (STRINGS, 2), "probabilities": (FLOATS, 2), "words": (STRINGS, 2), "tags": (STRINGS, 2),
    "answer": (STRINGS, 1), "answers": (STRINGS, 2), "null_score": (FLOATS, 1), "score": (FLOATS, 1), "scores": (FLOATS, 2),
    "chosen": (STRINGS, 2), "start": (INTEGERS, 1), "end": (INTEGERS, 1), "starts": (INTEGERS, 2), "ends": (INTEGERS, 2),
}  # fmt: skip
MAX_TIMEOUT = 10**8  # seconds, three years; gRPC overflows not far above
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Unexpected(Exception):
    """A response that does not answer the request: of another kind of model, or of a broken server."""


class Client:
    """A connection to one server, safe to share between threads.

    Args:
        server: `host:port`.
        timeout: Seconds for one request.
    """

    def __init__(self, server: str = "localhost:8500", *, timeout: float = 30.0) -> None:
        self.channel = grpc.insecure_channel(server, options=UNLIMITED)
        self.timeout = timeout
        self._predict = self.channel.unary_unary(
            PREDICT,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    def predict(self, model: str, inputs: Mapping[str, ArrayLike], *, signature: str = "") -> dict[str, np.ndarray]:
        """Returns the outputs {name: array} of `model` for `inputs` {name: array}; strings as bytes.

        Raises:
            grpc.RpcError: The server refuses the request, or is unavailable.
            Unexpected: An output is not a valid tensor.
        """
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            tensors.fill(request.inputs[name], value)
        response = self._predict(request, timeout=self.timeout)
        outputs = {}
        for name, proto in response.outputs.items():
            try:
                array = tensors.to_array(proto)
            except ValueError as error:
                raise Unexpected(f"output {name} is not a tensor: {error}") from None
            if isinstance(array, tensors.Flat):
                raise Unexpected(f"output {name} has {len(array.shape)} dimensions, more than an array can have")
            outputs[name] = array
        return outputs

    def answer(
        self,
        task: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        signature: str | None = None,
    ) -> list[dict[str, Any]]:
        """Returns a dict for each row: its fields and its answer.

        Args:
            task: Name of a task, as `sentiment`.
            rows: Dicts with the fields of one of the task's inputs.
            model: Name of the model on the server; by default, the task's.
            signature: One of the task's `more`, as `nbest`.

        Raises:
            grpc.RpcError: The server refuses a request, or is unavailable.
            KeyError: The model lacks an output of the task.
            Mistake: A row has the fields of none of the task's inputs.
            Unexpected: The outputs do not answer the request.
        """
        answered = []
        for name, inputs, batch in requests(TASKS[task], rows, len(rows), signature):
            outputs = self.predict(model or task, inputs, signature=name)
            _check(outputs, len(batch))
            try:
                answered += answers(TASKS[task], batch, outputs)
            except UnicodeDecodeError as error:
                raise Unexpected(f"expected texts of UTF-8, received {error.object[:30]!r}") from None
            except (AttributeError, IndexError, TypeError, ValueError) as error:
                raise Unexpected(f"expected an answer for {task}, received outputs that are none ({error})") from None
        return answered


def _check(outputs, rows):
    """Raises `Unexpected` unless the outputs have that many rows, and the types of the exported models' outputs."""
    for name, (kinds, dimensions) in OUTPUTS.items():  # in a fixed order, so that the message is reproducible
        if name not in outputs:
            continue
        array = outputs[name]
        received = f"{'string' if array.dtype.kind in STRINGS else array.dtype.name} {list(array.shape)}"
        if not array.shape or len(array) != rows:
            raise Unexpected(f"expected {rows} rows of output {name}, received {received}")
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            expected = {STRINGS: "strings", FLOATS: "floats", INTEGERS: "integers"}[kinds]
            raise Unexpected(f"expected output {name} to be {expected} of {dimensions} dimensions, received {received}")


def _given_rows(options, task):
    """Returns the rows of the fields on the command line; ends the process with one line if these are inconsistent."""
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


def _rows_of_file(options, task):
    """Returns the rows of --input, and their columns."""
    given = {name: getattr(options, f"{name}_column", None) for name in columns.FIELDS}
    columns.check_layout(options.encoding, options.separator, options.quotes)
    named, separator = columns.names_of(given, task, options.task), columns.separator_of(options.separator)
    layout = files.Layout(named, options.encoding, separator, options.quotes)
    return files.given(options.input, task, lines=options.lines, layout=layout)


def _answers(options, rows):
    """Yields the answers to rows, a request for each batch."""
    client = Client(options.server, timeout=options.timeout)
    for i in range(0, len(rows), options.batch_size):
        batch = rows[i : i + options.batch_size]
        yield from client.answer(
            options.task, batch, model=options.model, signature=getattr(options, "signature", None)
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        _fail(2, f"{message} (see --help)")


def _parser():
    parser = _Parser(prog="python -m serving.client", description=__doc__.split("\n")[0], allow_abbrev=False)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, task in TASKS.items():
        command = tasks.add_parser(name, allow_abbrev=False)
        for field in task.fields:
            # A list field is repeated for each row; a text field takes the texts of all rows
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
        for field in columns.FIELDS:
            if field in (*task.fields, "label"):
                text = "name of its column in --input, or number from 1"
                command.add_argument(f"--{field}_column", metavar="COLUMN", help=text)
        command.add_argument("--encoding", help="of --input, if it is not UTF-8: gb18030, ...")
        command.add_argument("--separator", help="of cells, where it cannot be told: comma, semicolon, tab, bar, ...")
        command.add_argument(
            "--quotes", choices=(CELLS, TEXT), help="what they are in tab-separated columns, where it cannot be told"
        )
        command.add_argument(
            "--output", help="file to write, a table if it ends in .csv or .tsv; default: standard output"
        )
        command.add_argument(
            "--server", default="localhost:8500", help="host:port, or unix:PATH (default: %(default)s)"
        )
        command.add_argument("--model", help=f"model on the server (default: {name})")
        command.add_argument("--batch_size", type=int, default=32, help="rows a request (default: %(default)s)")
        command.add_argument("--timeout", type=float, default=30.0, help="seconds a request (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: By default, those of the process.
    """
    options = _parser().parse_args(arguments)
    task = TASKS[options.task]
    given = _given_rows(options, task)
    if not 0 < options.timeout <= MAX_TIMEOUT:
        _fail(2, f"--timeout: expected seconds, more than 0 and at most {MAX_TIMEOUT}, received {options.timeout}")
    if options.batch_size < 1:
        _fail(2, f"--batch_size: expected more than 0, received {options.batch_size}")
    if not re.fullmatch(r".+:\d+|unix:.+", options.server):
        _fail(2, f"--server: expected host:port, received {options.server}")
    try:
        inputs = {"--input": options.input} if options.input else {}
        rows = _rows_of_file(options, task) if options.input else files.Given(given, [None] * len(given), None)
        with writing.opened(options.output, inputs) as file:
            answered.write(file, options.output, rows, _answers(options, rows.rows))
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
    except BrokenPipeError:  # the reader of the results has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _fail(1, defect(error))


def _fail(status, message) -> NoReturn:
    print(f"python -m serving.client: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
