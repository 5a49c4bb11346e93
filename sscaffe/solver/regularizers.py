"""Terms that the solver adds to the loss, and their gradients."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sscaffe.blob import Array, Param
from sscaffe.errors import SscaffeError, UnsupportedError, WeightsError
from sscaffe.kernels import GroupLassoBlocks
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import blobproto_to_array, read_binary
from sscaffe.sparsity import block_size

_Spec = caffe_pb2.BlockGroupLassoSpec


class Regularizer(Protocol):
    """A term of the loss that depends on one parameter only."""

    @property
    def decay(self) -> float:
        """Its weight in the loss, lambda."""

    @property
    def sparsifies(self) -> bool:
        """Whether it drives weights to zero."""

    def apply(self, param: Param, want_value: bool = False) -> float:
        """Add the gradient to the parameter's diff.

        Returns
        -------
        float
            The term; where `want_value` is false, it may be 0, which saves time.
        """

    def describe(self, param: Param) -> str:
        """Say what it is for this parameter, for the log."""


@dataclass(frozen=True)
class L2:
    """``decay / 2 * sum(scale * W^2)``; `scale` is a factor for each weight, or None."""

    decay: float
    scale: Array | None = None
    sparsifies = False

    def apply(self, param: Param, want_value: bool = False) -> float:
        """See `Regularizer.apply`."""
        data, kernels = param.blob.data_tensor, param.blob.device.kernels
        if self.scale is None:
            kernels.add(param.blob.diff_tensor, data, self.decay)
        else:
            param.mutable_diff[...] += self.decay * (self.scale * param.const_data)
        return self.value(param) if want_value else 0.0

    def value(self, param: Param) -> float:
        """Return the term."""
        if self.scale is None:
            kernels = param.blob.device.kernels
            return self.decay / 2 * kernels.sum_of_squares(param.blob.data_tensor)
        scaled = self.scale * param.const_data
        return self.decay / 2 * float((scaled * param.const_data).sum())

    def describe(self, param: Param) -> str:
        """See `Regularizer.describe`."""
        return f"L2, {_weights(param, self.scale)}, lambda {self.decay:g}"


@dataclass(frozen=True)
class L1:
    """``decay * sum(abs(scale * W))``; `scale` is a factor for each weight, or None."""

    decay: float
    scale: Array | None = None
    sparsifies = True

    def apply(self, param: Param, want_value: bool = False) -> float:
        """See `Regularizer.apply`."""
        param.mutable_diff[...] += self.decay * self._signs(param)
        return self.value(param) if want_value else 0.0

    def value(self, param: Param) -> float:
        """Return the term."""
        return self.decay * float((self._signs(param) * param.const_data).sum())

    def _signs(self, param: Param) -> Array:
        signs: Array = param.xp.sign(param.const_data)
        if self.scale is not None:
            signs *= self.scale
        return signs

    def describe(self, param: Param) -> str:
        """See `Regularizer.describe`."""
        return f"L1, {_weights(param, self.scale)}, lambda {self.decay:g}"


class Ramp:
    """The share of the lambdas of group lassos that is in force; it rises while they warm up."""

    share = 1.0

    def follow(self, iteration: int, warmup: int) -> None:
        """Set it for an iteration, counted from 0: the last of the warm-up has all."""
        self.share = min(1.0, (iteration + 1) / warmup) if warmup else 1.0


_FULL = Ramp()


@dataclass(frozen=True)
class GroupLasso:
    """``decay`` times the sum of the L2 norms of the weight matrix's blocks.

    The blocks have `ydimen` rows and `xdimen` columns and tile the matrix.

    Source: Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, eq. 2.
    """

    decay: float
    ydimen: int
    xdimen: int
    kind: str = "block"
    ramp: Ramp = _FULL
    sparsifies = True

    @property
    def strength(self) -> float:
        """The part of `decay` that is in force."""
        return self.decay * self.ramp.share

    def apply(self, param: Param, want_value: bool = False) -> float:
        """See `Regularizer.apply`."""
        matrix = param.matrix_shape
        return param.blob.device.kernels.group_lasso(
            param.const_data.reshape(matrix),
            param.mutable_diff.reshape(matrix),
            self.ydimen,
            self.xdimen,
            self.strength,
            want_value,
        )

    def value(self, param: Param) -> float:
        """Return the term."""
        matrix = param.const_data.reshape(param.matrix_shape)
        nowhere = param.xp.zeros_like(matrix)
        kernels = param.blob.device.kernels
        return kernels.group_lasso(matrix, nowhere, self.ydimen, self.xdimen, self.strength)

    def blocks(self) -> GroupLassoBlocks:
        """Return it as an `UpdateJob` takes it."""
        return GroupLassoBlocks(self.ydimen, self.xdimen, self.strength)

    def describe(self, param: Param) -> str:
        """See `Regularizer.describe`."""
        rows, columns = param.matrix_shape
        count = rows // self.ydimen * (columns // self.xdimen)
        return (
            f"group lasso by {self.kind}, {count} blocks of {self.ydimen} x {self.xdimen} "
            f"(ydimen x xdimen), lambda {self.decay:g}"
        )


def regularizers_of(
    param: Param, settings: caffe_pb2.SolverParameter, root: str = "", ramp: Ramp = _FULL
) -> list[Regularizer]:
    """Return the terms that a parameter adds to the loss.

    Parameters
    ----------
    param : Param
        The parameter.
    settings : SolverParameter
        The decays, which the parameter's own factors multiply.
    root : str
        The folder that a relative decay_proto starts from.
    ramp : Ramp
        What group lassos warm up by.

    Returns
    -------
    list of Regularizer
        None for statistics, and none whose decay is 0.

    Raises
    ------
    SscaffeError
        If a term cannot be had: the blocks of a group lasso do not tile the matrix, there is no
        such regularization_type, decay_proto does not fit.
    """
    if not param.learns:
        return []
    spec, terms = param.spec, list[Regularizer]()
    try:
        scale = _read_scale(param, root) if spec.decay_proto else None
        decay = settings.weight_decay * spec.decay_mult
        if decay:
            terms.append(_decay_term(spec, settings)(decay, scale))
        rows, columns = param.matrix_shape
        breadth = settings.breadth_decay * spec.breadth_decay_mult
        terms.append(GroupLasso(breadth, 1, columns, "breadth_decay", ramp))
        shape = settings.kernel_shape_decay * spec.kernel_shape_decay_mult
        terms.append(GroupLasso(shape, rows // param.group, 1, "kernel_shape_decay", ramp))
        for block in spec.block_group_lasso:
            terms.append(_block_term(param, block, settings.block_group_decay, ramp))
    except SscaffeError as error:
        error.add_note(f"  param:  {param.name!r} {param.shape}")
        raise
    return [term for term in terms if term.decay]


def blocks_of(param: Param) -> list[tuple[int, int]]:
    """Return (ydimen, xdimen) of each block_group_lasso of a parameter, whatever its decay."""
    return [block_size(param, block) for block in param.spec.block_group_lasso]


def _decay_term(
    spec: caffe_pb2.ParamSpec, settings: caffe_pb2.SolverParameter
) -> type[L1] | type[L2]:
    name = spec.regularization_type or settings.regularization_type
    terms: dict[str, type[L1] | type[L2]] = {"L1": L1, "L2": L2}
    if name not in terms:
        raise UnsupportedError(f"regularization_type: expected L1 or L2, got {name!r}")
    return terms[name]


def _block_term(param: Param, block: _Spec, decay: float, ramp: Ramp) -> GroupLasso:
    ydimen, xdimen = block_size(param, block)
    kind = _Spec.GroupKind.Name(block.group).lower()
    return GroupLasso(decay * block.block_decay_mult, ydimen, xdimen, kind, ramp)


def _read_scale(param: Param, root: str) -> Array:
    path = Path(root, param.spec.decay_proto)
    try:
        scale = blobproto_to_array(read_binary(path, caffe_pb2.BlobProto))
    except WeightsError as error:
        raise WeightsError(f"decay_proto: {error}") from error
    if scale.shape != param.shape:
        raise WeightsError(
            f"decay_proto: expected shape {param.shape}, got {scale.shape} in {os.fspath(path)}"
        )
    array: Array = param.xp.asarray(scale, param.blob.dtype)
    return array


def _weights(param: Param, scale: Array | None) -> str:
    each = "" if scale is None else ", each by its factor in decay_proto"
    return f"{param.blob.count} weights{each}"
