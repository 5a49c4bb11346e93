"""Zeros of a weight matrix, and the groups that structured sparsity works on.

A weight blob is seen as a matrix: one row for each filter or neuron (its first axis), one column
for each weight of a filter. The groups of a convolution are stacked along the rows.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Param
from sscaffe.errors import PrototxtError, ShapeError
from sscaffe.proto import caffe_pb2

Array = npt.NDArray[Any]

ELEMENT_THRESHOLD = 1e-4  # Caffe's fork counts a weight below this as zero.

_Spec = caffe_pb2.BlockGroupLassoSpec


def zero_elements(matrix: Array, threshold: float = ELEMENT_THRESHOLD) -> float:
    """Return the per cent of elements whose magnitude is less than `threshold`."""
    return _percent(abs(matrix) < threshold)


def zero_rows(matrix: Array) -> float:
    """Return the per cent of rows that are exactly zero."""
    return _percent(~_any(matrix, 1))


def zero_columns(matrix: Array) -> float:
    """Return the per cent of columns that are exactly zero, over all conv groups."""
    return _percent(~_any(matrix, 0))


def zero_blocks(matrix: Array, ydimen: int, xdimen: int) -> float:
    """Return the per cent of blocks of `ydimen` rows and `xdimen` columns that are exactly zero.

    The blocks tile the matrix, so `ydimen` and `xdimen` divide its sides: see `check_divides`.
    """
    rows, columns = matrix.shape
    blocks = matrix.reshape(rows // ydimen, ydimen, columns // xdimen, xdimen)
    return _percent(~_any(blocks, (1, 3)))


def percentages(matrix: Array, threshold: float = ELEMENT_THRESHOLD) -> dict[str, float]:
    """Return the per cent of zeros, by ``element``, ``row`` and ``column``."""
    return {
        "element": zero_elements(matrix, threshold),
        "row": zero_rows(matrix),
        "column": zero_columns(matrix),
    }


def kept_rows(matrix: Array, group: int = 1) -> list[Array]:
    """Return, for each conv group, which of its rows are not zero, as int32 counted within it."""
    return [_indices(_any(part, 1)) for part in split_groups(matrix, group)]


def kept_columns(matrix: Array, group: int = 1) -> list[Array]:
    """Return, for each conv group, which columns are not zero in its rows, as int32."""
    return [_indices(_any(part, 0)) for part in split_groups(matrix, group)]


def kept_size(matrix: Array, group: int = 1) -> int:
    """Return the elements left when each conv group loses its zero rows and zero columns."""
    parts = zip(kept_rows(matrix, group), kept_columns(matrix, group), strict=True)
    return sum(rows.size * columns.size for rows, columns in parts)


def split_groups(matrix: Array, group: int) -> list[Array]:
    """Return the rows of each conv group; `group` divides the number of rows."""
    height = matrix.shape[0] // group
    return [matrix[i * height : (i + 1) * height] for i in range(group)]


def is_structured(param: Param) -> bool:
    """Tell whether the zeros of a param are worth a look: a matrix, or what group lasso acts on."""
    return len(param.shape) > 1 or bool(param.spec.block_group_lasso)


def block_shape(
    kind: int, matrix_shape: tuple[int, int], group: int = 1, kernel_count: int = 1
) -> tuple[int, int]:
    """Return the block (ydimen, xdimen) that a named group stands for.

    Parameters
    ----------
    kind : int
        ``BlockGroupLassoSpec.GroupKind``: FILTER, CHANNEL, SHAPE, DEPTH or FILTER2D.
    matrix_shape : (int, int)
        Rows and columns of the weight matrix.
    group : int
        Groups of the convolution.
    kernel_count : int
        Columns of one input channel: kh * kw, or h * w of a flattened bottom.

    Raises
    ------
    ShapeError
        If `kind` is BLOCK, which has no shape of its own, or none of these.

    References
    ----------
    Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, section 3.
    """
    rows, columns = matrix_shape
    shapes = {
        int(_Spec.FILTER): (1, columns),
        int(_Spec.CHANNEL): (rows // group, kernel_count),
        int(_Spec.SHAPE): (rows // group, 1),
        int(_Spec.DEPTH): (rows, columns),
        int(_Spec.FILTER2D): (1, kernel_count),
    }
    if kind not in shapes:
        raise ShapeError(f"group: expected {', '.join(_Spec.GroupKind.keys()[1:])}, got {kind}")
    return shapes[kind]


def block_size(param: Param, spec: caffe_pb2.BlockGroupLassoSpec) -> tuple[int, int]:
    """Return the block (ydimen, xdimen) of a group lasso, named or not.

    Raises
    ------
    PrototxtError
        If the group has a name and sizes too.
    ShapeError
        If the blocks do not tile the param's matrix.
    """
    if spec.group == _Spec.BLOCK:
        ydimen, xdimen = int(spec.ydimen), int(spec.xdimen)
    else:
        for field in ("xdimen", "ydimen"):
            if spec.HasField(field):
                raise PrototxtError(
                    f"{field}: expected none with group: {_Spec.GroupKind.Name(spec.group)}, got "
                    f"{getattr(spec, field)}; leave it out"
                )
        kernel = param.kernel_count
        ydimen, xdimen = block_shape(spec.group, param.matrix_shape, param.group, kernel)
    check_divides(param, ydimen, xdimen)
    return ydimen, xdimen


def check_divides(param: Param, ydimen: int, xdimen: int) -> None:
    """Check that blocks of `ydimen` rows and `xdimen` columns tile a param's matrix.

    Raises
    ------
    ShapeError
        If they do not; the message gives the sizes that would.
    """
    rows, columns = param.matrix_shape
    sides = (("ydimen", ydimen, rows, "rows"), ("xdimen", xdimen, columns, "columns"))
    for field, size, length, word in sides:
        if size < 1 or length % size:
            kind = param.name.removeprefix(f"{param.layer_name} ")
            raise ShapeError(
                f"{field}: {size} does not divide the {length} {word} of {param.layer_name}'s "
                f"{rows} x {columns} {kind} matrix; use a divisor: {_divisors(length)}"
            )


def _divisors(length: int) -> str:
    return ", ".join(str(size) for size in range(1, length + 1) if length % size == 0)


def _any(array: Array, axis: int | tuple[int, ...]) -> Array:
    """Return where an array is not all zero along axes."""
    return cast(Array, array.any(axis=axis))


def _percent(zero: Array) -> float:
    return 100 * float(zero.sum()) / zero.size if zero.size else 0.0


def _indices(kept: Array) -> Array:
    return kept.nonzero()[0].astype(np.int32)
