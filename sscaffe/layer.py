"""The four verbs of a layer, and the register of layer types."""

import enum
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from sscaffe import filler
from sscaffe.blob import Array, Blob
from sscaffe.device import Device, cpu
from sscaffe.errors import ShapeError
from sscaffe.kernels import Kernels
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST

REGISTRY: "dict[str, type[Layer]]" = {}


def register(*names: str) -> "Callable[[type[Layer]], type[Layer]]":
    """Make a class the layer of these types, as in ``@register("PReLU")``."""

    def add(layer_class: "type[Layer]") -> "type[Layer]":
        for name in names:
            REGISTRY[name] = layer_class
        return layer_class

    return add


class Fusion(enum.Enum):
    """What a layer does to its bottom that the layer before it can do in the same pass."""

    AFFINE = 0  # multiplies each channel, along axis 1, by a number, and adds one
    SUM = 1  # adds another bottom
    RELU = 2  # a rectifier of slope 0


class Layer:
    """A step of a net, with pycaffe's four verbs: setup, reshape, forward, backward.

    Parameters
    ----------
    layer_param : LayerParameter
        The layer's part of the prototxt.
    phase : int
        TRAIN or TEST.
    device : Device, optional
        Where the layer computes; the CPU by default.
    dtype : dtype
        float32 in nets; float64 in gradient checks.
    rng : RandomNumbers, optional
        What fillers and dropout draw from.
    root : str
        The folder that relative paths of data layers start from; the working directory by default.

    Notes
    -----
    The verbs take lists of blobs:

    * ``setup(bottom, top)`` once: check bottoms and parameters, create `blobs`.
    * ``reshape(bottom, top)`` before forward whenever a bottom's shape may have changed: set the
      tops' shapes.
    * ``forward(bottom, top)``: set the tops' data.
    * ``backward(top, propagate_down, bottom)``: *set* the diff of each bottom whose flag is true
      from the tops' diff, and *add* to the diff of each of `blobs` whose
      ``param_propagate_down`` is true.
    """

    num_bottom: ClassVar[int | None] = None  # exactly so many
    min_bottom: ClassVar[int] = 0
    max_bottom: ClassVar[int | None] = None
    num_top: ClassVar[int | None] = None
    min_top: ClassVar[int] = 0
    max_top: ClassVar[int | None] = None
    same_number: ClassVar[bool] = False  # as many tops as bottoms
    auto_top_blobs: ClassVar[bool] = False  # the net adds tops that the prototxt leaves out
    is_loss: ClassVar[bool] = False  # the first top has loss weight 1 unless it is set
    learns: ClassVar[bool] = True  # False: `blobs` are statistics, not weights
    may_run_in_place: ClassVar[bool] = False  # a top may be the bottom at the same place
    shares_data: ClassVar[bool] = False  # tops are the first bottom's array, or else the blob's
    uses_host: bool = False  # in forward or backward, so that no device records them
    runs_on_host: ClassVar[bool] = False  # NumPy's arrays only: a GPU's net copies its blobs

    def __init__(
        self,
        layer_param: caffe_pb2.LayerParameter,
        phase: int = TEST,
        *,
        device: Device | None = None,
        dtype: Any = np.float32,
        rng: RandomNumbers | None = None,
        root: str = "",
    ) -> None:
        self.layer_param = layer_param
        self.phase = phase
        self.device = device or cpu()
        self.dtype = np.dtype(dtype)
        self.rng = rng or RandomNumbers(1701)
        self.root = root
        self.blobs: list[Blob] = []
        self.param_propagate_down: list[bool] = []

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer_param.name)

    @property
    def type(self) -> str:
        """The layer's type, as the prototxt spells it."""
        return str(self.layer_param.type)

    @property
    def xp(self) -> ModuleType:
        """The array module of the layer's device."""
        return self.device.xp

    @property
    def kernels(self) -> Kernels:
        """The kernels of the layer's device."""
        return self.device.kernels

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms and the layer's parameters, and create `blobs`."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops from those of the bottoms."""
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the data of the tops."""
        raise NotImplementedError

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the diff of the bottoms and add to the diff of `blobs`; nothing by default."""

    def allow_force_backward(self, index: int) -> bool:
        """Tell whether ``force_backward`` may ask for the diff of this bottom."""
        return True

    def fusion(self) -> Fusion | None:
        """Tell what the layer does that the one before it could do; None for anything else."""
        return None

    def channel_affine(self) -> tuple[Array, Array]:
        """Return factor and summand of each channel, of a layer whose `fusion` is AFFINE."""
        raise NotImplementedError

    def explain(self, bottom: list[Blob]) -> None:
        """Raise what is wrong with the bottoms, where a loss is no finite number.

        Forward raises it by itself, unless it would have to wait for the device.
        """

    @property
    def replays(self) -> bool:
        """Whether forward does nothing but ask kernels by `sscaffe.kernels.tape.run`."""
        return False

    @property
    def treats_images_apart(self) -> bool:
        """Whether a pass over a batch is one over its images, along axis 0 of all blobs.

        Not where a layer would read many weights anew for each image.
        """
        return False

    def add_param(
        self, shape: Sequence[int], filler_param: caffe_pb2.FillerParameter | None = None
    ) -> Blob:
        """Append a blob to `blobs`, filled as `filler_param` says, and return it."""
        blob = Blob(shape, self.dtype, self.device)
        if filler_param is not None:
            filler.fill(blob, filler_param, self.rng)
        self.blobs.append(blob)
        self.param_propagate_down.append(True)
        return blob

    def close(self) -> None:
        """Let go of files and threads; nothing by default."""


def canonical_axis(axis: int, ndim: int, field_name: str = "axis") -> int:
    """Return `axis` counted from the front, where -1 is the last.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ShapeError(
            f"{field_name}: expected {-ndim} to {ndim - 1} for {ndim} axes, got {axis}"
        )
    return axis % ndim


def loss_weight(top: Sequence[Blob]) -> float:
    """Return what the gradient of a layer's loss is multiplied by: the diff of its first top."""
    return float(top[0].host_diff)


def outer_inner(shape: Sequence[int], axis: int) -> tuple[int, int]:
    """Return the number of elements before an axis, and that after it."""
    return math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
