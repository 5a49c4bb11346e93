"""connectivity_mode: weights that are zero when training starts stay zero."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from sscaffe.blob import Array, Param
from sscaffe.glog import logger
from sscaffe.layer import Layer
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.sparsity import split_groups

_Layer = caffe_pb2.LayerParameter

LAYER_TYPES = ("Convolution", "Deconvolution", "InnerProduct", "Scale")


def mask_of(weights: Array, mode: int, group: int = 1) -> Array:
    """Return which weights may change.

    Parameters
    ----------
    weights : ndarray
        Of any shape; what counts as zero is exactly zero.
    mode : int
        ``LayerParameter.ConnectivityMode``: CONNECTED, DISCONNECTED_ELTWISE (weights that are zero
        are frozen) or DISCONNECTED_GRPWISE (rows and columns that are all zero are frozen, group
        by group).
    group : int
        Groups of the convolution, stacked along the first axis.

    Returns
    -------
    ndarray of bool
        In the shape of the weights; false where frozen.
    """
    connected: Array = np.asarray(weights != 0)
    if mode == _Layer.CONNECTED:
        connected[...] = True
    elif mode == _Layer.DISCONNECTED_GRPWISE:
        rows = weights.shape[0] if weights.ndim else 1
        for part in split_groups(connected.reshape(rows, -1), group):
            part[...] = part.any(axis=1, keepdims=True) & part.any(axis=0, keepdims=True)
    return connected


class Connectivity:
    """The masks of a net, made anew whenever its weights were set from outside.

    Only what changes the weights between `begin` and `settle` is training.

    Parameters
    ----------
    net : Net
        The training net.
    frozen : sequence of (Param, int)
        What `disconnected` found in it.
    threshold : callable
        Returns the magnitude below which weights become zero, and are frozen, when a mask is made;
        asked with whether they are factors of Scale.
    """

    def __init__(
        self,
        net: Net,
        frozen: Sequence[tuple[Param, int]],
        threshold: Callable[[bool], float],
    ) -> None:
        self._net, self._frozen, self._threshold = net, frozen, threshold
        self._factors = {
            id(blob) for layer in net.layers if layer.type == "Scale" for blob in layer.blobs
        }
        self._is_training = False
        self._generation = -1
        self._checksums: list[int] = []
        self._versions: list[int] = []

    def begin(self) -> None:
        """Say that training changes the weights from now on, after a `refresh`."""
        self.refresh()
        self._is_training = True

    def refresh(self) -> None:
        """Make the masks if there are none, or if weights were changed but not by training."""
        if self._is_training:
            return
        if self._generation != self._net.weights_generation:
            self._look_for_modes()
        if not self._frozen or self._is_current():
            return
        counts = [self._freeze(param, mode) for param, mode in self._frozen]
        for (param, mode), count in zip(self._frozen, counts, strict=True):
            _tell(param, mode, count, is_idle=not any(counts))
        self.take()

    def settle(self) -> None:
        """Say that training has changed the weights up to here; twice is no more than once."""
        if self._is_training:
            self._is_training = False
            self.take()

    def take(self) -> None:
        """Take the weights as they are now for those that the masks belong to."""
        if self._frozen:
            self._generation, self._checksums = self._net.weights_generation, self._look()
            # After looking, which brings arrays that somebody holds up to date.
            self._versions = self._count()

    def _look_for_modes(self) -> None:
        """See which layers are to be frozen; what no longer is may change again."""
        before, self._frozen = self._frozen, disconnected(self._net)
        kept = {param.name for param, _ in self._frozen}
        for param, _ in before:
            if param.name not in kept:
                param.mask = None
        if not self._frozen:
            self._generation = self._net.weights_generation

    def _is_current(self) -> bool:
        if self._generation != self._net.weights_generation:
            return False
        if self._versions == self._count() or self._checksums == self._look():
            return True
        logger.info("Weights were changed: which of them are frozen is decided anew")
        return False

    def _count(self) -> list[int]:
        return [param.blob.data_version for param, _ in self._frozen]

    def _look(self) -> list[int]:
        return [zlib.crc32(param.host_data.tobytes()) for param, _ in self._frozen]

    def _freeze(self, param: Param, mode: int) -> int:
        blob = param.blob
        is_factors = id(blob) in self._factors
        blob.device.kernels.threshold(blob.data_tensor, self._threshold(is_factors))
        if is_factors and mode == _Layer.DISCONNECTED_GRPWISE:
            mode = _Layer.DISCONNECTED_ELTWISE  # Each is a row of its own, of however many axes.
        param.mask = mask_of(blob.host_data, mode, param.group)
        return int((~param.mask).sum())


def _tell(param: Param, mode: int, count: int, is_idle: bool) -> None:
    """Log what is frozen; warn where that is nothing in the whole net."""
    name = _Layer.ConnectivityMode.Name(mode)
    if is_idle:
        logger.warning(
            "connectivity_mode: %s of %s freezes nothing, as it has no zeros to keep; start "
            "from sparse weights",
            name,
            param.name,
        )
    share = 100 * count / param.blob.count
    logger.info("%s: %d weights (%.1f%%) are frozen by %s", param.name, count, share, name)


def disconnected(net: Net) -> Sequence[tuple[Param, int]]:
    """Return the parameters that layers of a net want frozen, and how.

    A shared parameter is frozen as the last of the layers that share it says.
    """
    owners = {param.spec.name: param for param in net.learnable_params if param.spec.name}
    first_blobs = {param.layer_name: param for param in net.all_params if param.index == 0}
    found: dict[str, tuple[Param, int]] = {}
    for layer in net.layers:
        mode = layer.layer_param.connectivity_mode
        if mode == _Layer.CONNECTED:
            continue
        if not _has_weights(layer):
            logger.warning(
                "connectivity_mode: %s of layer %s has no effect; only %s have weights to freeze",
                _Layer.ConnectivityMode.Name(mode),
                layer.name,
                ", ".join(LAYER_TYPES),
            )
            continue
        param = first_blobs[layer.name]
        owner = owners.get(param.spec.name, param)
        found[owner.name] = owner, mode
    return list(found.values())


def _has_weights(layer: Layer) -> bool:
    """Tell whether the first blob of a layer is one that may be frozen."""
    # A Scale layer of two bottoms reads its factors, and has a bias at most.
    given = layer.type == "Scale" and len(layer.layer_param.bottom) > 1
    return layer.type in LAYER_TYPES and not given
