"""Layer types of Caffe's relatives that are several layers, or one under another name."""

from collections.abc import Iterable, Sequence

from sscaffe.errors import UnsupportedError
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import blobproto_shape, blobproto_to_array, fill_blobproto

_Layer = caffe_pb2.LayerParameter

# SkimCaffe's names for several layers in one.
FUSED = {
    "ConvolutionReLU": ("Convolution", "ReLU"),
    "ConvolutionReLUPool": ("Convolution", "ReLU", "Pooling"),
    "ConvolutionReLUPoolLRN": ("Convolution", "ReLU", "Pooling", "LRN"),
    "InnerProductReLUDropout": ("InnerProduct", "ReLU", "Dropout"),
    "ReLUPooling": ("ReLU", "Pooling"),
}

# More of SkimCaffe's names, those of one library.
RENAMED = {
    "MKLConvolution": "Convolution",
    "MKLPooling": "Pooling",
    "MKLLRN": "LRN",
    "MKLReLU": "ReLU",
}

# Those of Dynamic Network Surgery, for what they are once their masks do not change any more.
MASKED = {"CConvolution": "Convolution", "CInnerProduct": "InnerProduct"}

_SETTINGS = {
    "Convolution": "convolution_param",
    "InnerProduct": "inner_product_param",
    "ReLU": "relu_param",
    "Pooling": "pooling_param",
    "LRN": "lrn_param",
    "Dropout": "dropout_param",
}
_IN_PLACE = ("ReLU", "Dropout")


def expand(param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """Put the layers that they stand for in the place of fused, renamed and masked ones.

    The first layer keeps the name, by which weights are found; the others get the name with their
    type behind it.

    Parameters
    ----------
    param : NetParameter
        The net of one state; it is not changed.

    Returns
    -------
    NetParameter
        The net with these layers; `param` itself if it has none of those.

    Raises
    ------
    UnsupportedError
        If a layer would prune its weights while it trains.
    """
    types = {layer.type for layer in param.layer}
    if types.isdisjoint({*FUSED, *RENAMED, *MASKED}):
        return param
    names = {name for layer in param.layer for name in (layer.name, *layer.top)}
    expanded = caffe_pb2.NetParameter()
    expanded.CopyFrom(param)
    del expanded.layer[:]
    for layer in param.layer:
        if layer.type in FUSED:
            expanded.layer.extend(_parts(layer, names))
        else:
            _rename(expanded.layer.add(), layer, param.state.phase)
    return expanded


def _rename(copy: _Layer, layer: _Layer, phase: int) -> None:
    copy.CopyFrom(layer)
    copy.type = RENAMED.get(layer.type, layer.type)
    if layer.type not in MASKED:
        return
    copy.type = MASKED[layer.type]
    if phase == caffe_pb2.TRAIN:
        raise UnsupportedError(
            f"type: layer {layer.name!r} ({layer.type}) would prune its weights while it trains, "
            f"which is not built; use {copy.type}, with connectivity_mode: DISCONNECTED_ELTWISE to "
            "keep weights that are 0"
        )
    for name in ("cconvolution_param", "cinner_product_param"):
        copy.ClearField(name)


def _parts(layer: _Layer, names: set[str]) -> Iterable[_Layer]:
    """Yield the layers that a fused one stands for."""
    kinds = FUSED[layer.type]
    between = list(layer.bottom)
    for i, kind in enumerate(kinds):
        # What only writes in place from here on, or nothing, leads to the tops.
        is_last = all(other in _IN_PLACE for other in kinds[i + 1 :])
        tops = [str(top) for top in layer.top]
        if not is_last:
            tops = [_new_name(f"{top}_{kind.lower()}", names) for top in tops[:1]]
        weights = list(layer.loss_weight) if i == len(kinds) - 1 else []
        if i == 0 or kind not in _IN_PLACE:
            yield _part(layer, kind, between, tops, names, weights, is_first=i == 0)
            between = tops
            continue
        for j, top in enumerate(between):
            own = weights[j : j + 1]
            yield _part(layer, kind, [top], [top], names, own, is_first=False)


def _part(
    layer: _Layer,
    kind: str,
    bottom: list[str],
    top: list[str],
    names: set[str],
    loss_weight: list[float],
    *,
    is_first: bool,
) -> _Layer:
    part = _Layer()
    if is_first:
        part.CopyFrom(layer)
        for other, settings in _SETTINGS.items():
            if other != kind:
                part.ClearField(settings)
        part.ClearField("loss_weight")
    else:
        part.name = _new_name(f"{layer.name}_{kind.lower()}", names)
        getattr(part, _SETTINGS[kind]).CopyFrom(getattr(layer, _SETTINGS[kind]))
        if layer.HasField("phase"):
            part.phase = layer.phase
    part.type = kind
    part.ClearField("bottom")
    part.bottom.extend(bottom)
    part.ClearField("top")
    part.top.extend(top)
    part.loss_weight.extend(loss_weight)
    return part


def _new_name(wanted: str, names: set[str]) -> str:
    while wanted in names:
        wanted += "_"
    names.add(wanted)
    return wanted


def masked_blobs(layer: _Layer) -> Sequence[caffe_pb2.BlobProto]:
    """Return the weights of a layer in a caffemodel, each times its mask if there are masks.

    A layer of a masked type has them after its weights, of the same shapes.
    """
    blobs: Sequence[caffe_pb2.BlobProto] = layer.blobs
    half = len(blobs) // 2
    if layer.type not in MASKED or not half or len(blobs) % 2:
        return blobs
    pairs = list(zip(blobs[:half], blobs[half:], strict=True))
    if any(blobproto_shape(values) != blobproto_shape(mask) for values, mask in pairs):
        return blobs
    masked = [caffe_pb2.BlobProto() for _ in pairs]
    for proto, (values, mask) in zip(masked, pairs, strict=True):
        fill_blobproto(proto, blobproto_to_array(values) * blobproto_to_array(mask))
    return masked
