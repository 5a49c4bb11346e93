"""A stand-in for cuDNN's Python front end, as far as convolutions need it."""

import ctypes
import enum
import itertools

import numpy as np
from cupy import _capture


class cudnnGraphNotSupportedError(Exception):  # noqa: N801
    """There is no plan."""


data_type = enum.Enum("data_type", "FLOAT DOUBLE HALF INT32")
heur_mode = enum.Enum("heur_mode", "A B FALLBACK OPENSOURCE")
numerical_note = enum.Enum(
    "numerical_note",
    "DOWN_CONVERT_INPUTS FFT NONDETERMINISTIC REDUCED_PRECISION_REDUCTION STRICT_NAN_PROP "
    "TENSOR_CORE WINOGRAD WINOGRAD_TILE_13x13 WINOGRAD_TILE_4x4 WINOGRAD_TILE_6x6",
)
_KINDS = {data_type.FLOAT: np.float32, data_type.DOUBLE: np.float64}
_WORKSPACES = (0, None, 4096)  # bytes of each plan; None: it cannot be built


class Handle:
    """A handle, and the stream that it was set to."""

    def __init__(self):
        _capture.refuse("create a handle")
        self.stream = 0


def create_handle():
    return Handle()


def destroy_handle(handle):
    """Nothing to free."""


def set_stream(handle, stream):
    handle.stream = stream


def backend_version():
    return 91400


class tensor:  # noqa: N801
    """A place of a graph."""

    _uids = itertools.count(1)

    def __init__(self, name="", dim=(), stride=(), data_type=None):
        self._name, self._dim, self._stride, self._type = name, dim, stride, data_type
        self._uid = next(self._uids)
        self.is_output = False

    def get_uid(self):
        return self._uid

    def get_dim(self):
        return list(self._dim)

    def set_uid(self, uid):
        self._uid = uid
        return self

    def set_output(self, is_output):
        self.is_output = is_output
        return self

    def set_data_type(self, kind):
        self._type = kind
        return self

    def set_dim(self, dim):
        self._dim = dim
        return self

    def set_stride(self, stride):
        self._stride = stride
        return self

    def set_name(self, name):
        self._name = name
        return self

    def at(self, address):
        """Return the array at an address."""
        if not address:
            raise ValueError(f"cudnn: no address for {self._name}")
        dtype = np.dtype(_KINDS[self._type])
        dense = np.empty(self._dim, bool).strides
        if tuple(self._stride) != dense:
            raise cudnnGraphNotSupportedError(f"{self._name}: strides {self._stride}")
        size = int(np.prod(self._dim)) * dtype.itemsize
        memory = (ctypes.c_char * size).from_address(address)
        return np.frombuffer(memory, dtype).reshape(self._dim)


class pygraph:  # noqa: N801
    """One convolution: forward, or one of its gradients."""

    def __init__(
        self, *, handle=None, io_data_type=None, intermediate_data_type=None, compute_data_type=None
    ):
        self._handle, self._type = handle, io_data_type
        self._state = "made"
        self._built = set()

    def tensor(self, name="", dim=(), stride=(), data_type=None):
        return tensor(name, dim, stride, data_type or self._type)

    def conv_fprop(self, *, image, weight, **window):
        return self._convolution("fprop", image, weight, window)

    def conv_dgrad(self, *, loss, filter, **window):  # noqa: A002
        return self._convolution("dgrad", loss, filter, window)

    def conv_wgrad(self, *, image, loss, **window):
        return self._convolution("wgrad", image, loss, window)

    def _convolution(self, kind, one, other, window):
        self._kind, self._one, self._other = kind, one, other
        self._out = tensor("out")
        if window.pop("pre_padding") != window["post_padding"]:
            raise cudnnGraphNotSupportedError("padding of two sides")
        self._window = window["post_padding"], window["stride"], window["dilation"]
        return self._out

    def _to(self, before, after):
        if self._state != before:
            raise RuntimeError(f"cudnn: {after} follows {before}, not {self._state}")
        self._state = after

    def validate(self):
        self._to("made", "validated")
        if not self._out.is_output or not self._out.get_dim():
            raise RuntimeError("cudnn: the output has no size, or is not marked as output")

    def build_operation_graph(self):
        self._to("validated", "lowered")

    def create_execution_plans(self, modes):
        self._to("lowered", "planned")

    def deselect_numeric_notes(self, notes):
        self._to("planned", "planned")

    def deselect_engines(self, names):
        """No engine here has such a name."""

    def deselect_workspace_greater_than(self, limit):
        self._to("planned", "planned")

    def check_support(self):
        self._to("planned", "supported")

    def get_execution_plan_count(self):
        return len(_WORKSPACES)

    def get_plan_name_at_index(self, index):
        return f"stand-in {index}"

    def build_plan_at_index(self, index):
        _capture.refuse("build a plan")
        if _WORKSPACES[index] is None:
            raise cudnnGraphNotSupportedError("a plan that cannot be built")
        self._built.add(index)

    def get_workspace_size_plan_at_index(self, index):
        return _WORKSPACES[index]

    def execute_plan_at_index(self, variant_pack, workspace, index, handle=None):
        if index not in self._built or self._state != "supported":
            raise RuntimeError("cudnn: the plan was not built")
        handle = handle or self._handle
        if handle.stream != _capture.get_current_stream().ptr:
            raise RuntimeError("cudnn: the handle is set to another stream than the current one")
        places = (self._one, self._other, self._out)
        arrays = [place.at(variant_pack[place.get_uid()]) for place in places]

        def run():
            ctypes.memset(workspace, 0xFF, _WORKSPACES[index])  # it is the library's to write to
            with np.errstate(all="ignore"):
                PRODUCTS[self._kind](*arrays, self._window)

        _capture.run(run)


def _taps(image, top, weights, window):
    """Yield for each element of the window its index, and where the padded image meets the top."""
    _, stride, dilation = window
    for tap in np.ndindex(*weights.shape[2:]):
        yield (
            tap,
            tuple(
                slice(t * d, t * d + s * (size - 1) + 1, s)
                for t, s, d, size in zip(tap, stride, dilation, top.shape[2:], strict=True)
            ),
        )


def _padded(image, window):
    return np.pad(image, [(0, 0), (0, 0), *((p, p) for p in window[0])])


def _grouped(array, groups):
    """Split the channels into groups and flatten space: (N, G, C / G, S)."""
    return array.reshape(len(array), groups, array.shape[1] // groups, -1)


def _fprop(image, weights, top, window):
    groups, padded = image.shape[1] // weights.shape[1], _padded(image, window)
    by_group = weights.reshape(groups, -1, *weights.shape[1:])
    sums = 0
    for tap, place in _taps(image, top, weights, window):
        columns = _grouped(padded[:, :, *place], groups)
        sums = sums + by_group[:, :, :, *tap].astype(float) @ columns
    top[...] = sums.reshape(top.shape)


def _dgrad(top, weights, image, window):
    groups, padded = image.shape[1] // weights.shape[1], _padded(0.0 * image, window)
    padded = np.zeros(padded.shape)
    by_group = weights.reshape(groups, -1, *weights.shape[1:]).swapaxes(1, 2)
    for tap, place in _taps(image, top, weights, window):
        piece = padded[:, :, *place]
        piece += (by_group[:, :, :, *tap].astype(float) @ _grouped(top, groups)).reshape(
            piece.shape
        )
    inner = (slice(p, p + size) for p, size in zip(window[0], image.shape[2:], strict=True))
    image[...] = padded[:, :, *inner]


def _wgrad(image, top, weights, window):
    groups, padded = image.shape[1] // weights.shape[1], _padded(image, window)
    for tap, place in _taps(image, top, weights, window):
        columns = _grouped(padded[:, :, *place], groups).astype(float)
        product = _grouped(top, groups) @ columns.swapaxes(2, 3)
        weights[:, :, *tap] = product.sum(axis=0).reshape(weights.shape[:2])


PRODUCTS = {"fprop": _fprop, "dgrad": _dgrad, "wgrad": _wgrad}
