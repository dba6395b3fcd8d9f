"""`python -m serving.client TASK --text "..."`: asks a server, prints one JSON object a row.

`status MODEL`, `metadata MODEL` and `reload FILE` say what it serves, and change that. Needs grpcio, protobuf and numpy,
not TensorFlow. The keys of answers are those of `python -m trainer predict`.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import grpc

from serving.client import calls
from serving.client.calls import Unexpected
from serving.client.clients import Client
from serving.client.connection import RETRIES, Tls
from serving.command_line import Parser, fail
from trainer import writing
from trainer.data import answered, files
from trainer.data.layout import CELLS, TEXT
from trainer.errors import Failure, Mistake, defect
from trainer.options import columns
from trainer.tasks.options import checked
from trainer.tasks.table import LISTS, TASKS

MAX_TIMEOUT = 10**8  # seconds, three years; gRPC overflows not far above


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
    named, separator = columns.names_of(given, task, options.command), columns.separator_of(options.separator)
    layout = files.Layout(named, options.encoding, separator, options.quotes)
    return files.given(options.input, task, lines=options.lines, layout=layout)


def _answers(options, client, rows):
    """Yields the answers to rows, a request for each batch."""
    for i in range(0, len(rows), options.batch_size):
        batch = rows[i : i + options.batch_size]
        yield from client.answer(
            options.command, batch, model=options.model, signature=getattr(options, "signature", None)
        )


def _ask(options, client):
    """Asks a task's model."""
    task = TASKS[options.command]
    given = _given_rows(options, task)
    if options.batch_size < 1:
        _fail(2, f"--batch_size: expected more than 0, received {options.batch_size}")
    inputs = {"--input": options.input} if options.input else {}
    said = checked(vars(options), task.options, before="--")
    rows = _rows_of_file(options, task) if options.input else files.Given(given, [None] * len(given), None)
    with writing.opened(options.output, inputs) as file:
        asked = [said | row for row in rows.rows]
        answered.write(file, options.output, rows, _answers(options, client, asked))


def _status(options, client):
    """Prints the state of a model's versions."""
    versions = client.status(options.model, options.version)
    if options.json:
        return print(json.dumps({"model": options.model, "versions": [asdict(version) for version in versions]}))
    rows = [(v.version, v.state, f"{v.code}: {v.error}" if v.code != "OK" or v.error else "") for v in versions]
    print(_table([("version", "state", "error"), *rows]))


def _metadata(options, client):
    """Prints a model's signatures."""
    found = client.metadata(options.model, options.version, label=options.label)
    if options.json:
        return print(json.dumps(found))
    rows = [
        (name, direction[:-1], tensor, dtype, "any" if shape is None else shape)
        for name, signature in found["signatures"].items()
        for direction in ("inputs", "outputs")
        for tensor, (dtype, shape) in signature[direction].items()
    ]
    print(f"{found['model']} version {found['version']}")
    print(_table([("signature", "", "tensor", "type", "shape"), *rows]))


def _reload(options, client):
    """Makes the server take over a configuration."""
    config = calls.read_config(options.file)
    try:
        names = client.reload(config)
    except Mistake as mistake:
        raise Mistake(f"{options.file}: {mistake}") from None
    print(json.dumps({"models": names}) if options.json else f"serving {', '.join(names) or 'no model'}")


def _table(rows: Iterable[Sequence[Any]]) -> str:
    """Returns rows in columns, in one line each."""
    cells = [[" ".join(str(cell).split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


COMMANDS = {"status": _status, "metadata": _metadata, "reload": _reload}


def _parser():
    parser = Parser(prog="python -m serving.client", description=__doc__.split("\n")[0], allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="TASK | status | metadata | reload")
    for name, task in TASKS.items():
        _add_task(commands, name, task)
    for name, run in COMMANDS.items():
        command = commands.add_parser(name, allow_abbrev=False, help=run.__doc__)
        if name == "reload":
            command.add_argument("file", metavar="FILE", help="a text tensorflow.serving.ModelServerConfig")
        else:
            command.add_argument("model", metavar="MODEL")
            text = "of this version alone (default: all of status, the newest of metadata)"
            command.add_argument("--version", type=int, metavar="N", help=text)
        if name == "metadata":
            command.add_argument("--label", default="", help="of the version with this label")
        command.add_argument("--json", action="store_true", help="one JSON object, for scripts")
        _add_connection(command, timeout=3600.0 if name == "reload" else 30.0)
    return parser


def _add_connection(command, timeout):
    """Adds the flags of every command."""
    add = command.add_argument
    add("--server", default="localhost:8500", help="host:port, or unix:PATH (default: %(default)s)")
    add("--timeout", type=float, default=timeout, help="seconds a request (default: %(default)s)")
    add(
        "--retries",
        type=int,
        default=RETRIES,
        help="attempts after the first, if it is UNAVAILABLE (default: %(default)s)",
    )
    add("--tls", action="store_true", help="speak TLS, with a server that an authority known to gRPC has certified")
    add("--tls_ca", default="", metavar="FILE", help="speak TLS, with a server certified by these, in PEM")
    add("--tls_key", default="", metavar="FILE", help="our own key, in PEM, if the server asks for one")
    add("--tls_name", default="", metavar="HOST", help="of the server's certificate, if not that of --server")
    add("--tls_cert", default="", metavar="FILE", help="our own certificate, in PEM")


def _client(options):
    """Returns the client of the flags."""
    if not 0 < options.timeout <= MAX_TIMEOUT:
        _fail(2, f"--timeout: expected seconds, more than 0 and at most {MAX_TIMEOUT}, received {options.timeout}")
    if not 0 <= options.retries <= RETRIES:
        _fail(2, f"--retries: expected 0 to {RETRIES}, received {options.retries}")
    if not re.fullmatch(r".+:\d+|unix:.+", options.server):
        _fail(2, f"--server: expected host:port, received {options.server}")
    files = (options.tls_ca, options.tls_key, options.tls_cert, options.tls_name)
    tls = Tls(*files) if options.tls or any(files) else None
    return Client(options.server, timeout=options.timeout, retries=options.retries, tls=tls)


def _add_task(commands, name, task):
    """Adds the command that asks a task's model."""
    command = commands.add_parser(name, allow_abbrev=False)
    for field in task.fields:
        # A list field is repeated for each row; a text field takes the texts of all rows
        action, text = ("append", "words of one row") if field in LISTS else ("extend", "of each row one, given here")
        command.add_argument(f"--{field}", nargs="+", action=action, help=text)
    for option in task.options:
        text = f"{option.help} (default: {option.default:g})"
        command.add_argument(f"--{option.name}", metavar="NUMBER", help=text)
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
    command.add_argument("--output", help="file to write, a table if it ends in .csv or .tsv; default: standard output")
    command.add_argument("--model", help=f"model on the server (default: {name})")
    command.add_argument("--batch_size", type=int, default=32, help="rows a request (default: %(default)s)")
    _add_connection(command, timeout=30.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: By default, those of the process.
    """
    options = _parser().parse_args(arguments)
    asked = f"{options.server}: model {getattr(options, 'model', None) or options.command}"
    if options.command == "reload":
        asked = f"{options.server}: reload"
    try:
        with _client(options) as client:
            COMMANDS.get(options.command, _ask)(options, client)
    except Mistake as mistake:
        _fail(2, mistake)
    except Failure as failure:
        _fail(1, failure)
    except grpc.RpcError as error:
        _fail(1, f"{options.server}: {error.code().name}: {' '.join((error.details() or '').split())}")
    except Unexpected as error:
        _fail(1, f"{asked}: {error}")
    except KeyError as error:
        _fail(1, f"{asked} is none for {options.command}: no output {error}")
    except KeyboardInterrupt:
        _fail(130, "interrupted")
    except BrokenPipeError:  # the reader of the results has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _fail(1, defect(error))


def _fail(status, message) -> NoReturn:
    fail("serving.client", message, status)


if __name__ == "__main__":
    main()
