"""`python -m serving.export RUN --to DIR`: a run folder to a SavedModel, strings in and decoded answers out.

Writes `DIR/<version>/`, version 1, 2, 3, ..., under a temporary name and renames it, so that a server that watches DIR
sees complete versions only. The graph is the function that `trainer predict` runs. Says on standard error whether the
stock TensorFlow Serving image of `--target` has what it needs.
"""

import errno
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from serving import lint
from serving.command_line import Parser, fail
from trainer.errors import Failure, Mistake, defect
from trainer.options.answering import ANSWERING
from trainer.writing import print_json

BATCH = 32  # rows that are scored at once


def export(
    run: str | os.PathLike,
    to: str | os.PathLike,
    *,
    precision: str | None = None,
    data: str | None = None,
    **answering: Any,
) -> dict[str, Any]:
    """Exports a finished run, or pretrained weights.

    Args:
        run: See `trainer.answerers.load`.
        to: Base path of the model; the new version is one more than the highest there.
        precision: Of weights for LiteRT, see `serving.litert.PRECISIONS`; None: TensorFlow alone computes the model.
        data: Labelled rows, a file or a data set by name, on which both are scored.
        **answering: See `trainer.runs.run.Run`.

    Returns:
        {"task", "path", "version", "signatures"}; each input and output of a signature as [dtype, shape]. With `precision` also
        "litert": {"precision", "bytes"}, of the encoder, and with `data` {"scores": {runtime: scores}}.

    Raises:
        Mistake: Not a finished run; or `to` cannot be written.
        Failure: Writing failed midway (a full disk).
    """
    from trainer.quiet import tf  # isort: skip  before anything else imports TensorFlow
    from trainer.answerers import load

    finished, to, litert = load(run, **answering), Path(to), {}
    apart = _apart(finished, data) if precision else None
    versions = [
        int(path.name) for path in to.glob("*") if re.fullmatch(r"[0-9]{1,18}", path.name)
    ]  # as servers read them
    version = max(versions, default=0) + 1
    module = tf.Module()
    # The tf.Variables: Keras's wrappers would be saved as copies that a session never restores.
    module.weights = [variable.value for variable in finished.model.variables]
    functions = finished.functions()
    temporary = to / f".{version}.{os.getpid()}.part"
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise Mistake(f"--to {to}: cannot be written ({error.strerror})") from None
    try:
        # Functions, not what was traced of them: only they have the defaults of inputs, and to save traces them anew
        tf.saved_model.save(module, str(temporary), signatures=functions)
        signatures = _signatures(temporary, functions)
        _write_warm_up(temporary, finished)
        if apart:
            litert = {"litert": _write_litert(temporary, finished, apart, precision)}
        while True:
            try:
                temporary.rename(to / str(version))
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                version += 1  # another process exported this version meanwhile
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("; ")[-1].splitlines()[0]
        raise Failure(f"--to {to}: cannot be written ({reason})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {
        "task": finished.task_name,
        "path": str(to / str(version)),
        "version": version,
        "signatures": signatures,
        **litert,
    }


def _apart(run, data):
    """Returns the model of a run, what stands around it, for LiteRT, and the rows on which it is scored, or None."""
    from trainer.data import datasets, files
    from trainer.runs.run import Run

    if not isinstance(run, Run):
        raise Mistake(f"--runtime litert: expected a run of a task, received one of {run.task_name}")
    try:
        model, parts = run.apart()
    except Mistake as mistake:
        raise Mistake(f"--runtime litert: {mistake}") from None
    path = data and datasets.path_of(data, "dev", run.task_name)
    return model, parts, path and files.read(path, run.task, run.labels, inputs=[run.fields], column=run.column)


def _write_litert(folder, run, apart, precision):
    """Writes what LiteRT computes, and scores it; returns what is to be said of it."""
    from serving import litert

    model, parts, rows = apart
    content = litert.write(folder, model, parts, precision)
    said = {"precision": precision, "bytes": len(content)}
    if rows:
        models = {
            "tensorflow fp32": run.model,
            f"litert {precision}": litert.Computed(run.model, content, os.cpu_count() or 1),
        }
        said["scores"] = {name: run.scorer(rows, BATCH, model)() for name, model in models.items()}
    return said


def _write_warm_up(folder, run):
    """Writes requests that a server runs before the version is available, so that the first user does not wait.

    In TensorFlow Serving's format: https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from serving import tensors
    from trainer.tasks.table import LISTS, requests

    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for fields in run.inputs:
            for texts in (["a short text"], ["a text of another length", "short"]):
                marked = [f"{text} {run.task.mark}".rstrip() for text in texts]
                rows = [{field: text.split() if field in LISTS else text for field in fields} for text in marked]
                batches = [*requests(run.task, rows, len(rows))]
                batches += [batch for name in run.task.more for batch in requests(run.task, rows, len(rows), name)]
                if run.task.options:
                    defaults = {option.name: option.default for option in run.task.options}
                    batches += requests(run.task, [row | defaults for row in rows], len(rows))
                for signature, inputs, _ in batches:
                    log = prediction_log_pb2.PredictionLog()
                    request = log.predict_log.request
                    request.model_spec.name = run.task_name
                    request.model_spec.signature_name = signature
                    for name, value in inputs.items():
                        tensors.fill(request.inputs[name], value)
                    writer.write(log.SerializeToString())


def _signatures(folder, functions):
    """Returns what is said of the signatures of a SavedModel: inputs in the order of the functions, outputs by name."""
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    def described(infos, names):
        types = {name: tf.as_dtype(infos[name].dtype).name for name in names}
        return {name: [types[name], [size.size for size in infos[name].tensor_shape.dim]] for name in names}

    written = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].signature_def
    return {
        name: {
            "inputs": described(written[name].inputs, [spec.name for spec in function.input_signature]),
            "outputs": described(written[name].outputs, sorted(written[name].outputs)),
        }
        for name, function in functions.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: By default, those of the process.
    """
    parser = Parser(prog="python -m serving.export", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "run",
        help="folder of a finished run of `python -m trainer finetune`, `pretrain lm` or `pretrain bert`; nano, or other weights of BERT",
    )
    parser.add_argument("--to", required=True, help="base path of the model; gets a new version folder")
    for name, (kind, _, task) in ANSWERING.items():
        parser.add_argument(f"--{name}", type=kind, help=f"of {task}, as for `python -m trainer evaluate`")
    parser.add_argument(
        "--runtime",
        choices=("litert",),
        help="beside TensorFlow: an encoder for LiteRT, which our server takes for short requests",
    )
    parser.add_argument("--precision", choices=("fp32", "int8"), help="of its weights; by default fp32")
    parser.add_argument("--data", help="labelled rows, a file or a data set by name, on which both runtimes are scored")
    parser.add_argument("--target", help="image tensorflow/serving to lint for, see `python -m serving.lint --help`")
    options = parser.parse_args(arguments)
    try:
        lint.number_of(options.target)
        for name in ("precision", "data"):
            if getattr(options, name) and not options.runtime:
                raise Mistake(f"--{name}: expected --runtime litert, which it is about; received none")
        from trainer.quiet import tf  # isort: skip  before anything else imports TensorFlow

        # Traced with a GPU, a graph may contain ops that a server without one lacks
        tf.config.set_visible_devices([], "GPU")
        answering = {name: getattr(options, name) for name in ANSWERING}
        precision = (options.precision or "fp32") if options.runtime else None
        exported = export(options.run, options.to, precision=precision, data=options.data, **answering)
        print_json(exported)
        for line in lint.report(*lint.check(exported["path"], options.target), options.target):
            print(line, file=sys.stderr)
    except (Mistake, lint.Wrong) as mistake:
        _fail(mistake)
    except Failure as failure:
        _fail(failure, 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        _fail(defect(error), 1)


def _fail(message, status=2) -> NoReturn:
    fail("serving.export", message, status)


if __name__ == "__main__":
    main()
