"""A stand-in for cuDNN's front end: graphs of one convolution, computed by NumPy."""

import ctypes
import itertools
from types import SimpleNamespace

import numpy as np
from cupy import _capture

__version__ = "on host"

data_type = SimpleNamespace(FLOAT="float32", DOUBLE="float64")
heur_mode = SimpleNamespace(A=0, B=1, FALLBACK=2)
numerical_note = SimpleNamespace(
    TENSOR_CORE=0, DOWN_CONVERT_INPUTS=1, NONDETERMINISTIC=2, WINOGRAD_TILE_13x13=3
)


class cudnnGraphNotSupportedError(RuntimeError):  # noqa: N801, N818
    """As the front end calls it."""


def backend_version():
    return 0


def create_handle():
    return object()


def set_stream(handle, stream):
    """Nothing to do: what runs is what the current stream notes down."""


class _Tensor:
    _uids = itertools.count(1)

    def __init__(self, dim=None, stride=None, data_type=None):
        self.dim, self.stride, self.data_type = dim, stride, data_type
        self.uid = next(self._uids)

    def get_uid(self):
        return self.uid

    def set_output(self, is_output):
        return self

    def set_data_type(self, kind):
        self.data_type = kind
        return self

    def set_dim(self, dim):
        self.dim = dim
        return self

    def set_stride(self, stride):
        self.stride = stride
        return self

    def at(self, address):
        count, kind = int(np.prod(self.dim)), np.dtype(self.data_type)
        raw = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
        return np.frombuffer(raw, kind).reshape(self.dim)


class pygraph:  # noqa: N801
    """A graph that holds one convolution."""

    def __init__(self, handle=None, **types):
        self._node = None

    def tensor(self, name, dim, stride, data_type):
        return _Tensor(dim, stride, data_type)

    def conv_fprop(self, image, weight, **window):
        return self._set("fprop", image, weight, window)

    def conv_dgrad(self, loss, filter, **window):  # noqa: A002
        return self._set("dgrad", loss, filter, window)

    def conv_wgrad(self, image, loss, **window):
        return self._set("wgrad", image, loss, window)

    def _set(self, kind, one, other, window):
        out = _Tensor()
        self._node = kind, one, other, out, window
        return out

    def validate(self):
        """As all the others that only prepare."""

    build_operation_graph = check_support = validate

    def create_execution_plans(self, modes):
        """One plan."""

    def deselect_numeric_notes(self, notes):
        """One plan."""

    def deselect_workspace_greater_than(self, size):
        """One plan."""

    def get_execution_plan_count(self):
        return 1

    def build_plan_at_index(self, index):
        """One plan."""

    def get_workspace_size_plan_at_index(self, index):
        return 0

    def get_plan_name_at_index(self, index):
        return "numpy"

    def execute_plan_at_index(self, arrays, workspace, index, handle):
        kind, one, other, out, window = self._node
        a, b, y = (tensor.at(arrays[tensor.uid]) for tensor in (one, other, out))
        _capture.run(lambda: _PRODUCTS[kind](a, b, y, window))


def _windows(image, kernel, window):
    """Yield, for each place of the kernel, it and the view of the padded image under it."""
    padding = [(0, 0), (0, 0)]
    padding += zip(window["pre_padding"], window["post_padding"], strict=True)
    padded = np.pad(image, padding)
    for place in np.ndindex(*kernel):
        cut = [slice(None), slice(None)]
        for axis, at in enumerate(place):
            stride, dilation = window["stride"][axis], window["dilation"][axis]
            span = dilation * (kernel[axis] - 1) + 1
            count = (padded.shape[axis + 2] - span) // stride + 1
            cut.append(slice(at * dilation, at * dilation + stride * (count - 1) + 1, stride))
        yield place, padded, tuple(cut)


def _grouped(array, group):
    return array.reshape(array.shape[0], group, array.shape[1] // group, -1)


def _fprop(x, w, y, window):
    group, total = x.shape[1] // w.shape[1], 0
    for place, padded, cut in _windows(x, w.shape[2:], window):
        tap = w[(..., *place)].reshape(group, -1, w.shape[1])
        total = total + np.einsum("goc,ngcp->ngop", tap, _grouped(padded[cut], group))
    y[...] = total.reshape(y.shape)


def _dgrad(dy, w, dx, window):
    group = dx.shape[1] // w.shape[1]
    whole = None
    for place, padded, cut in _windows(np.zeros_like(dx), w.shape[2:], window):
        whole = padded if whole is None else whole
        tap = w[(..., *place)].reshape(group, -1, w.shape[1])
        part = np.einsum("goc,ngop->ngcp", tap, _grouped(dy, group))
        whole[cut] += part.reshape(whole[cut].shape)
    inside = [slice(None), slice(None)]
    for pad, size in zip(window["pre_padding"], dx.shape[2:], strict=True):
        inside.append(slice(pad, pad + size))
    dx[...] = whole[tuple(inside)]


def _wgrad(x, dy, dw, window):
    group = x.shape[1] // dw.shape[1]
    for place, padded, cut in _windows(x, dw.shape[2:], window):
        tap = np.einsum("ngop,ngcp->goc", _grouped(dy, group), _grouped(padded[cut], group))
        dw[(..., *place)] = tap.reshape(dw.shape[:2])


_PRODUCTS = {"fprop": _fprop, "dgrad": _dgrad, "wgrad": _wgrad}
