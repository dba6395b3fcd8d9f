"""Arrays of several requests put together, those of a request's parts joined, those of two runs compared."""

from collections.abc import Mapping, Sequence

import numpy as np

from serving.server.requests.jobs import Outputs

TOLERANCE = 1e-3  # of the largest number of an output; a batch may add up in another order


def merged(every: Sequence[Mapping[str, np.ndarray]], size: int) -> dict[str, np.ndarray]:
    """Returns the inputs of several requests together, padded to one length and filled up to so many rows."""
    together = {}
    for name in every[0]:
        values = [inputs[name] for inputs in every]
        longest = np.max([value.shape[1:] for value in values], axis=0, initial=0).astype(int)
        values = [_padded(value, longest) for value in values]
        total = sum(map(len, values))
        if size > total:
            values.append(np.repeat(values[-1][:1], size - total, axis=0))
        together[name] = values[0] if len(values) == 1 else np.concatenate(values)
    return together


def _padded(value, longest):
    """Returns an array with zeros, or empty strings, behind each dimension but the first, up to `longest`."""
    behind = [(0, 0), *((0, int(most - size)) for most, size in zip(longest, value.shape[1:], strict=True))]
    if not any(count for _, count in behind):
        return value
    return np.pad(value, behind, constant_values=b"" if value.dtype == object else 0)


def joined(parts: Sequence[Outputs]) -> "Outputs | None":
    """Returns the outputs of a job from those of its parts; None if they do not fit together."""
    try:
        return [
            {name: np.concatenate([part[i][name] for part in parts]) for name in values}
            for i, values in enumerate(parts[0])
        ]
    except ValueError:
        return None


def same(outputs: Outputs, others: Outputs) -> bool:
    """Returns whether two runs gave the same, but for rounding."""
    return all(
        _equal(value, theirs[name])
        for ours, theirs in zip(outputs, others, strict=True)
        for name, value in ours.items()
    )


def _equal(one, other):
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "fcV":
        return bool(np.array_equal(one, other))
    one, other = (value.astype(np.complex128 if value.dtype.kind == "c" else np.float64) for value in (one, other))
    tolerance = TOLERANCE * float(np.max(np.abs(one), initial=0.0, where=np.isfinite(one)))
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=tolerance, equal_nan=True))
