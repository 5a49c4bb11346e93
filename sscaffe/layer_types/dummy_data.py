"""DummyData: tops filled by fillers."""

from sscaffe import filler
from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2

_OLD_SIZES = ("num", "channels", "height", "width")


@register("DummyData")
class DummyDataLayer(Layer):
    """Tops that fillers fill: constants once, random numbers anew in each forward pass.

    Tops: any number, each of its ``shape`` and with its ``data_filler``, or all of the only one.
    Without a filler they are 0.
    """

    num_bottom = 0
    min_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes, and the values that do not change."""
        param = self.layer_param.dummy_data_param
        count = len(top)
        if len(param.data_filler) not in (0, 1, count):
            raise ShapeError(
                f"data_filler: expected none, 1 or one for each of the {count} tops, "
                f"got {len(param.data_filler)}"
            )
        fillers = list(param.data_filler) or [caffe_pb2.FillerParameter()]
        self._fillers = fillers * count if len(fillers) == 1 else fillers
        for blob, shape in zip(top, self._shapes(count), strict=True):
            blob.reshape(*shape)
        self.uses_host = any(filler.type != "constant" for filler in self._fillers)
        self._fill(top, constant=True)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Fill the tops that are random."""
        self._fill(top, constant=False)

    def _fill(self, top: list[Blob], *, constant: bool) -> None:
        for blob, param in zip(top, self._fillers, strict=True):
            if (param.type == "constant") == constant:
                filler.fill(blob, param, self.rng)

    def _shapes(self, count: int) -> list[tuple[int, ...]]:
        param = self.layer_param.dummy_data_param
        old = {name: list(getattr(param, name)) for name in _OLD_SIZES}
        if param.shape and any(old.values()):
            raise ShapeError("shape: expected either shape or num, channels, ..., got both")
        columns = {"shape": list(param.shape)} if param.shape else old
        for name, values in columns.items():
            if len(values) not in (1, count):
                raise ShapeError(
                    f"{name}: expected 1 or one for each of the {count} tops, got {len(values)}"
                )
        every = [values * count if len(values) == 1 else values for values in columns.values()]
        if param.shape:
            return [tuple(shape.dim) for shape in every[0]]
        return list(zip(*every, strict=True))
