"""A net that was made node by node, as a person would write it."""

from collections.abc import Sequence

from sscaffe.convert.from_onnx.net import Layer, NetBuilder
from sscaffe.convert.saved import Array
from sscaffe.layer import REGISTRY

# Those that every Caffe lets write over their bottom.
_IN_PLACE = (
    "BNLL",
    "BatchNorm",
    "Bias",
    "Clip",
    "ELU",
    "Exp",
    "Log",
    "PReLU",
    "Power",
    "ReLU",
    "Scale",
    "Sigmoid",
    "TanH",
)

_SETTINGS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
    "Scale": "scale_param",
}


def drop_unread(builder: NetBuilder, wanted: set[str]) -> None:
    """Drop layers that lead to no output; blobs beside those that do go to a Silence layer."""
    kept, silent = [], []
    for layer in reversed(builder.net.layer):
        if layer.type == "Input" or not wanted.isdisjoint(layer.top):
            kept.append(layer)
            silent += [top for top in layer.top if top not in wanted]
            wanted = wanted.union(layer.bottom)
    if silent:
        builder.layer("Silence", "silence", silent, [])
        kept.insert(0, builder.net.layer[-1])
    _set_layers(builder, kept[::-1])


def run_in_place(builder: NetBuilder, outputs: set[str]) -> None:
    """Let layers that may write over their bottom do so where nobody else reads it."""
    layers = list(builder.net.layer)
    makers = {top: layer for layer in layers for top in layer.top}
    reads = [bottom for layer in layers for bottom in layer.bottom]
    for layer in reversed(layers):
        if len(layer.bottom) != 1 or layer.type not in _IN_PLACE:
            continue
        bottom, top = layer.bottom[0], layer.top[0]
        maker = makers[bottom]
        # The top of a Reshape is its bottom's array, which may have other readers.
        shares = maker.type in ("Input", "Parameter") or REGISTRY[maker.type].shares_data
        if shares or bottom in outputs or reads.count(bottom) > 1:
            continue
        maker.top[list(maker.top).index(bottom)] = top
        layer.bottom[0] = top


def merge_biases(builder: NetBuilder, outputs: set[str]) -> None:
    """Put a Bias layer into the Scale, InnerProduct or convolution whose top it alone reads."""
    layers = list(builder.net.layer)
    makers = {top: layer for layer in layers for top in layer.top}
    reads = [bottom for layer in layers for bottom in layer.bottom]
    weights = {saved.name: saved for saved in builder.weights}
    merged = set()
    for layer in layers:
        if layer.type != "Bias" or len(layer.bottom) != 1:
            continue
        bottom, saved = layer.bottom[0], weights[layer.name]
        maker = makers[bottom]
        if bottom in outputs or reads.count(bottom) > 1 or not _fits(maker, layer, saved.arrays[0]):
            continue
        getattr(maker, _SETTINGS[maker.type]).bias_term = True
        weights[maker.name].arrays.append(saved.arrays[0])
        maker.top[0] = layer.top[0]
        makers[layer.top[0]] = maker
        merged.add(layer.name)
    kept = [layer for layer in layers if layer.name not in merged]
    _set_layers(builder, kept)


def _fits(maker: Layer, bias: Layer, array: Array) -> bool:
    """Tell whether a layer without a bias could have this one."""
    if maker.type not in _SETTINGS or len(maker.bottom) != 1:
        return False
    param, covered = getattr(maker, _SETTINGS[maker.type]), bias.bias_param
    if param.bias_term or param.axis != covered.axis:
        return False
    if maker.type == "Scale":
        return bool(param.num_axes == covered.num_axes)
    return array.shape == (param.num_output,)


def _set_layers(builder: NetBuilder, layers: Sequence[Layer]) -> None:
    copies = [Layer.FromString(layer.SerializeToString()) for layer in layers]
    del builder.net.layer[:]
    builder.net.layer.extend(copies)
    names = {layer.name for layer in copies}
    builder.weights = [saved for saved in builder.weights if saved.name in names]


def drop_flattens(builder: NetBuilder, outputs: set[str]) -> None:
    """Drop each Flatten that only an InnerProduct reads, which does as much itself."""
    layers = list(builder.net.layer)
    makers = {top: layer for layer in layers for top in layer.top}
    reads = [bottom for layer in layers for bottom in layer.bottom]
    dropped = set()
    for layer in layers:
        if layer.type != "InnerProduct" or layer.inner_product_param.axis != 1:
            continue
        bottom = layer.bottom[0]
        maker = makers[bottom]
        if maker.type == "Flatten" and bottom not in outputs and reads.count(bottom) == 1:
            layer.bottom[0] = maker.bottom[0]
            dropped.add(maker.name)
    _set_layers(builder, [layer for layer in layers if layer.name not in dropped])
