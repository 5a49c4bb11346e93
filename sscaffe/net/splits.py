"""Split layers, inserted where a blob has several readers, so that their gradients are summed.

Caffe's names are kept: blob ``x`` of layer ``data`` goes through ``x_data_0_split`` to
``x_data_0_split_0``, ``x_data_0_split_1`` and so on; the number is the top's in its layer. A loss
weight is one reader more, the first.
"""

from collections import defaultdict
from collections.abc import Sequence

from sscaffe.errors import PrototxtError
from sscaffe.layer import REGISTRY, Layer
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt_names import nearest

Place = tuple[int, int]  # a layer, and one of its bottoms or tops


def insert_splits(
    param: caffe_pb2.NetParameter, left_out: Sequence[caffe_pb2.LayerParameter] = ()
) -> caffe_pb2.NetParameter:
    """Insert a Split layer after each layer that has a top with several readers.

    Parameters
    ----------
    param : NetParameter
        The net; it is not changed.
    left_out : sequence of LayerParameter
        Layers that the net's state leaves out, to explain where a blob went.

    Returns
    -------
    NetParameter
        The net with the Split layers.

    Raises
    ------
    PrototxtError
        If a bottom is no earlier layer's top, or a top is made twice, or a blob is changed in
        place while another layer reads it, be it through a layer that shares its array.
    """
    sources = _Sources(param, left_out)
    result = caffe_pb2.NetParameter()
    result.CopyFrom(param)
    del result.layer[:]
    for i, original in enumerate(param.layer):
        layer = result.layer.add()
        layer.CopyFrom(original)
        for j in range(len(layer.bottom)):
            layer.bottom[j] = sources.name_for((i, j))
        for j, top in enumerate(original.top):
            if sources.readers[i, j] > 1:
                split = result.layer.add()
                _fill_split(split, top, f"{original.name}_{j}", sources.readers[i, j])
                _move_loss_weight(layer, j, split)
    return result


class _Sources:
    """Which top each bottom reads, and how many readers each top has."""

    def __init__(
        self,
        param: caffe_pb2.NetParameter,
        left_out: Sequence[caffe_pb2.LayerParameter],
    ) -> None:
        self.layers = param.layer
        self.left_out = left_out
        self.readers: dict[Place, int] = defaultdict(int)
        self._source: dict[Place, Place] = {}  # of each bottom
        self._rank: dict[Place, int] = {}  # of each bottom among the readers of its source
        self._newest: dict[str, Place] = {}  # where a blob was last made or changed
        self._made: dict[str, int] = {}  # the layer that made it first
        for i in range(len(param.layer)):
            self._add_layer(i)
        self._check_in_place()

    def name_for(self, bottom: Place) -> str:
        """Return the blob that a bottom reads once there are Split layers."""
        name = self.layers[bottom[0]].bottom[bottom[1]]
        source = self._source[bottom]
        if self.readers[source] < 2:
            return str(name)
        return f"{name}_{self.layers[source[0]].name}_{source[1]}_split_{self._rank[bottom]}"

    def _add_layer(self, i: int) -> None:
        layer = self.layers[i]
        for j, name in enumerate(layer.bottom):
            if name not in self._newest:
                raise PrototxtError(self._why_unknown(i, name))
            source = self._source[i, j] = self._newest[name]
            self._rank[i, j] = self.readers[source]
            self.readers[source] += 1
        for j, name in enumerate(layer.top):
            if name in self._made and not _is_in_place(layer, j):
                raise PrototxtError(self._why_twice(i, name))
            self._made.setdefault(name, i)
            self._newest[name] = i, j
            if j < len(layer.loss_weight) and layer.loss_weight[j]:
                self.readers[i, j] += 1

    def _check_in_place(self) -> None:
        for (i, j), source in self._source.items():
            layer = self.layers[i]
            if j < len(layer.top) and _is_in_place(layer, j):
                other = self._reader_of_array((i, j), source)
                if other:
                    raise PrototxtError(
                        f"top: layer {layer.name!r} changes {layer.top[j]!r} in place, but "
                        f"{other} unchanged; give {layer.name!r} a top of its own"
                    )

    def _reader_of_array(self, reader: Place, source: Place) -> str:
        """Say who else needs the array that a bottom reads; empty if nobody does."""
        if self.readers[source] > 1:
            return f"{self._other_reader(reader, source)} needs it"
        while _shares_data(self.layers[source[0]]):
            sharer = source[0]
            for top in range(len(self.layers[sharer].top)):
                if top != source[1] and self.readers[sharer, top]:
                    return self._needs_array(reader, (sharer, top))
            if not self.layers[sharer].bottom:
                return f"layer {self.layers[sharer].name!r} needs its weights, the same array,"
            reader, source = (sharer, 0), self._source[sharer, 0]
            if self.readers[source] > 1:
                return self._needs_array(reader, source)
        return ""

    def _needs_array(self, reader: Place, source: Place) -> str:
        name = self.layers[source[0]].top[source[1]]
        return f"{self._other_reader(reader, source)} needs {name!r}, the same array,"

    def _other_reader(self, reader: Place, source: Place) -> str:
        for place, other in self._source.items():
            if other == source and place != reader:
                return f"layer {self.layers[place[0]].name!r}"
        return f"the loss_weight of layer {self.layers[source[0]].name!r}"

    def _why_unknown(self, i: int, name: str) -> str:
        reader = self.layers[i].name
        maker = next((k for k in range(i, len(self.layers)) if name in self.layers[k].top), None)
        if maker is not None:
            return self._why_late(i, maker, name)
        for layer in self.left_out:
            if name in layer.top:
                return (
                    f"bottom: {name!r} of layer {reader!r} is made by layer {layer.name!r}, which "
                    "the include and exclude rules leave out here; give both the same rules"
                )
        near = nearest(name, self._newest)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"bottom: layer {reader!r} reads {name!r}, but no layer makes it{hint}"

    def _why_late(self, reader: int, maker: int, name: str) -> str:
        first, second = self.layers[reader].name, self.layers[maker].name
        if reader == maker:
            return f"bottom: {name!r} is made by layer {first!r} itself; a net has no cycles"
        if self._needs(maker, reader):
            return (
                f"bottom: {name!r} of layer {first!r} is made by layer {second!r}, which itself "
                f"needs layer {first!r}; a net has no cycles"
            )
        return (
            f"bottom: {name!r} of layer {first!r} is produced later by layer {second!r}; "
            f"move {second!r} before {first!r}"
        )

    def _needs(self, layer: int, other: int) -> bool:
        """Tell whether a layer reads, through any others, what another one makes."""
        makers = defaultdict(set)
        for k, candidate in enumerate(self.layers):
            for top in candidate.top:
                makers[top].add(k)
        seen, waiting = {layer}, [layer]
        while waiting:
            for name in self.layers[waiting.pop()].bottom:
                new = makers[name] - seen
                seen |= new
                waiting.extend(new)
        return other in seen

    def _why_twice(self, i: int, name: str) -> str:
        first, second = self.layers[self._made[name]].name, self.layers[i].name
        if self._made[name] == i:
            return f"top: layer {second!r} names {name!r} twice; give each top a name of its own"
        hint = "rename one of them"
        if name in self.layers[i].bottom:
            hint = "to compute in place, name it at the same place among bottoms and tops"
        return f"top: {name!r} is made by layer {first!r} and by layer {second!r}; {hint}"


def _is_in_place(layer: caffe_pb2.LayerParameter, j: int) -> bool:
    return j < len(layer.bottom) and bool(layer.bottom[j] == layer.top[j])


def _shares_data(layer: caffe_pb2.LayerParameter) -> bool:
    return REGISTRY.get(layer.type, Layer).shares_data


def _fill_split(split: caffe_pb2.LayerParameter, blob: str, place: str, count: int) -> None:
    split.name = f"{blob}_{place}_split"
    split.type = "Split"
    split.bottom.append(blob)
    split.top.extend(f"{split.name}_{k}" for k in range(count))


def _move_loss_weight(
    layer: caffe_pb2.LayerParameter, j: int, split: caffe_pb2.LayerParameter
) -> None:
    """Give the loss weight of a top to the first top of its Split."""
    if j < len(layer.loss_weight) and layer.loss_weight[j]:
        split.loss_weight.extend([layer.loss_weight[j]] + [0.0] * (len(split.top) - 1))
        layer.loss_weight[j] = 0.0
