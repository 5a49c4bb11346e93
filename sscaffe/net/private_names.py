"""Names that pycaffe keeps to itself, and that scripts use all the same."""

from sscaffe.blob import Array, Blob


class PrivateNames:
    """The part of `sscaffe.Net` that has them."""

    layer_names: list[str]
    blobs: dict[str, Blob]
    blob_names: list[str]
    blob_loss_weights: dict[str, float]
    inputs: list[str]
    outputs: list[str]
    bottom_ids: list[list[int]]
    top_ids: list[list[int]]

    def run_forward(self, first: int = 0, last: int | None = None) -> float:
        """See `Net.run_forward`."""
        raise NotImplementedError

    def run_backward(self, first: int | None = None, last: int = 0) -> None:
        """See `Net.run_backward`."""
        raise NotImplementedError

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """See `Scripting.set_input_arrays`."""
        raise NotImplementedError

    @property
    def _layer_names(self) -> list[str]:
        return self.layer_names

    @property
    def _blob_names(self) -> list[str]:
        return self.blob_names

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return [self.blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self.blob_names.index(name) for name in self.outputs]

    def _bottom_ids(self, place: int) -> list[int]:
        return self.bottom_ids[place]

    def _top_ids(self, place: int) -> list[int]:
        return self.top_ids[place]

    def _forward(self, first: int, last: int) -> float:
        return self.run_forward(first, last)

    def _backward(self, first: int, last: int) -> None:
        self.run_backward(first, last)

    def _set_input_arrays(self, data: Array, labels: Array) -> None:
        self.set_input_arrays(data, labels)
