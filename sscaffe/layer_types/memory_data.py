"""MemoryData: images and labels that the program hands over."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sscaffe.blob import Blob
from sscaffe.data.transformer import DataTransformer
from sscaffe.errors import DataError, ShapeError
from sscaffe.layer import Layer, register

Array = npt.NDArray[Any]


@register("MemoryData")
class MemoryDataLayer(Layer):
    """Batches of arrays that the program set, in order, over and over.

    Tops: data ``(N, C, H, W)`` and label ``(N, 1, 1, 1)``.

    Give it arrays with `reset`, as they are, or with `add`, transformed as transform_param says.
    """

    num_bottom = 0
    num_top = 2
    uses_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops."""
        param = self.layer_param.memory_data_param
        for name in ("batch_size", "channels", "height", "width"):
            if getattr(param, name) < 1:
                raise ShapeError(f"{name}: expected 1 or more, got {getattr(param, name)}")
        self._transformer = DataTransformer(
            self.layer_param.transform_param, self.phase, self.rng, self.root
        )
        self._shape = (param.channels, param.height, param.width)
        self._batch_size = param.batch_size
        self._data: Array | None = None
        self._labels: Array | None = None
        self._position = 0
        top[0].reshape(self._batch_size, *self._shape)
        top[1].reshape(self._batch_size, 1, 1, 1)

    def reset(self, data: Array, labels: Array) -> None:
        """Set the images and labels, and start with the first.

        Parameters
        ----------
        data : ndarray, shape (M, C, H, W)
            M is a multiple of batch_size. Kept, not copied, where it is in the layer's precision.
        labels : ndarray, M elements

        Raises
        ------
        ShapeError
            If the shapes do not fit the layer or each other.
        """
        data, labels = np.asarray(data, self.dtype), np.asarray(labels, self.dtype).reshape(-1)
        if data.ndim != 4 or data.shape[1:] != self._shape:
            raise ShapeError(f"data: expected shape (M, {_commas(self._shape)}), got {data.shape}")
        if not len(data) or len(data) % self._batch_size:
            raise ShapeError(
                f"data: expected a multiple of batch_size {self._batch_size} images, "
                f"got {len(data)}"
            )
        if len(labels) != len(data):
            raise ShapeError(f"labels: expected {len(data)}, one for each image, got {len(labels)}")
        self._data, self._labels, self._position = data, labels, 0

    def add(self, images: Array | Sequence[Array], labels: Array) -> None:
        """Transform images, set them and their labels, and start with the first.

        Parameters
        ----------
        images : ndarray, shape (M, C, H, W), or sequence of arrays (C, H, W)
            Before cropping; uint8 or float32.
        labels : ndarray, M elements

        Raises
        ------
        ShapeError
            If the shapes do not fit the layer, each other or the transformation.
        """
        out = np.empty((len(images), *self._shape), np.float32)
        self._transformer.transform(images, out)
        self.reset(out, labels)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next batch to the tops."""
        if self._data is None or self._labels is None:
            raise DataError("data: there are no images yet; call reset(data, labels) first")
        batch = slice(self._position, self._position + self._batch_size)
        top[0].set_data(self._data[batch])
        top[1].set_data(self._labels[batch].reshape(-1, 1, 1, 1))
        self._position = batch.stop % len(self._data)

    def data_state(self) -> dict[str, Any]:
        """Return the place of the batch that the next forward pass gets; JSON can hold it."""
        return {"record": self._position}

    def restore_data_state(self, state: dict[str, Any]) -> None:
        """Go to a place that `data_state` returned, in the same images.

        Raises
        ------
        DataError
            If there are not that many images, or none were set yet.
        """
        count = 0 if self._data is None else len(self._data)
        if not 0 <= state["record"] < max(count, 1):
            raise DataError(f"data: expected a place among {count} images, got {state['record']}")
        self._position = state["record"]


def _commas(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
