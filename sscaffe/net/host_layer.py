"""Layers that compute on the host in nets of a GPU."""

from typing import Any

from sscaffe.blob import Blob
from sscaffe.device import Device, cpu
from sscaffe.glog import logger
from sscaffe.layer import REGISTRY, Layer

# What a net asks of a layer's class.
_OF_THE_CLASS = (
    "auto_top_blobs",
    "is_loss",
    "learns",
    "may_run_in_place",
    "max_bottom",
    "max_top",
    "min_bottom",
    "min_top",
    "num_bottom",
    "num_top",
    "same_number",
)


def needs_host(layer_type: str, device: Device) -> bool:
    """Tell whether layers of this type must be wrapped for a device."""
    layer_class = REGISTRY.get(layer_type)
    return layer_class is not None and layer_class.runs_on_host and not device.is_cpu


class HostLayer(Layer):
    """A layer of the CPU whose blobs are copied from and to those of another device.

    Parameters
    ----------
    layer : Layer
        The layer, on the CPU; what this class does not know is asked of it.
    device : Device
        Where the blobs of the net live.

    Notes
    -----
    Blobs of the layer, as Python layers may have, live on the device too, for the solver.
    """

    uses_host = True

    def __init__(self, layer: Layer, device: Device) -> None:
        super().__init__(
            layer.layer_param,
            layer.phase,
            device=device,
            dtype=layer.dtype,
            rng=layer.rng,
            root=layer.root,
        )
        self.layer = layer
        for name in _OF_THE_CLASS:
            setattr(self, name, getattr(layer, name))
        self._bottom: list[Blob] = []
        self._top: list[Blob] = []

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            raise AttributeError(name)
        return getattr(self.layer, name)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the layer up, and make its blobs on the device."""
        logger.info("layer %r (%s) runs on the host: its blobs are copied", self.name, self.type)
        self._bottom = [self._copy_of(blob) for blob in bottom]
        self._top = [self._shadow(blob, bottom) for blob in top]
        self.layer.setup(self._bottom, self._top)
        for own in self.layer.blobs:
            blob = self.add_param(own.shape)
            blob.set_data(own.host_data)
        self.param_propagate_down = list(self.layer.param_propagate_down)
        self._match_shapes(top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops."""
        for own, blob in zip(self._bottom, bottom, strict=True):
            own.reshape_like(blob)
        self.layer.reshape(self._bottom, self._top)
        self._match_shapes(top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the bottoms to the host, compute, and copy the tops to the device."""
        self._take_bottoms(bottom)
        for own, blob in zip(self.layer.blobs, self.blobs, strict=True):
            own.set_data(blob.host_data)
        self.layer.forward(self._bottom, self._top)
        self._match_shapes(top)
        for own, blob in zip(self._top, top, strict=True):
            blob.set_data(own.host_data)
        for own, blob in zip(self.layer.blobs, self.blobs, strict=True):
            blob.set_data(own.host_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy the gradients of the tops to the host, compute, and copy those of the bottoms."""
        for own, blob in zip(self._top, top, strict=False):  # a layer may refuse before setup
            own.set_diff(blob.host_diff)
        for own, blob in zip(self.layer.blobs, self.blobs, strict=True):
            own.set_diff(blob.host_diff)
        self.layer.param_propagate_down[:] = self.param_propagate_down
        self.layer.backward(self._top, propagate_down, self._bottom)
        for own, blob, wanted in zip(self._bottom, bottom, propagate_down, strict=True):
            if wanted:
                blob.set_diff(own.host_diff)
        for own, blob in zip(self.layer.blobs, self.blobs, strict=True):
            blob.set_diff(own.host_diff)

    def allow_force_backward(self, index: int) -> bool:
        """See `Layer.allow_force_backward`."""
        return self.layer.allow_force_backward(index)

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        self._take_bottoms(bottom)
        self.layer.explain(self._bottom)

    def close(self) -> None:
        """See `Layer.close`."""
        self.layer.close()

    def _copy_of(self, blob: Blob) -> Blob:
        own = Blob(blob.shape, blob.dtype, cpu())
        own.set_data(blob.host_data)
        return own

    def _shadow(self, blob: Blob, bottom: list[Blob]) -> Blob:
        """Return the host's blob of a top, which in place is that of a bottom."""
        for own, other in zip(self._bottom, bottom, strict=True):
            if other is blob:
                return own
        return Blob(blob.shape, blob.dtype, cpu())

    def _take_bottoms(self, bottom: list[Blob]) -> None:
        for own, blob in zip(self._bottom, bottom, strict=True):
            own.reshape_like(blob)
            own.set_data(blob.host_data)

    def _match_shapes(self, top: list[Blob]) -> None:
        for own, blob in zip(self._top, top, strict=True):
            blob.reshape_like(own)
