"""BatchNorm layers that set the learning rates of their statistics, which nothing learns."""

from sscaffe.proto import caffe_pb2

_Net = caffe_pb2.NetParameter

_STATISTICS = 3  # sum of means, sum of variances, weight of both


def is_needed(net: _Net) -> bool:
    """Tell whether a BatchNorm layer has a `param` for each of its statistics."""
    return any(_has_params(layer) for layer in net.layer)


def upgrade(net: _Net) -> _Net:
    """Return the net with these learning rates and decays set to 0."""
    upgraded = _Net()
    upgraded.CopyFrom(net)
    for layer in upgraded.layer:
        if _has_params(layer):
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
    return upgraded


def _has_params(layer: caffe_pb2.LayerParameter) -> bool:
    return (
        layer.type == "BatchNorm"
        and len(layer.param) == _STATISTICS
        and any(
            not spec.HasField(name) or getattr(spec, name)
            for spec in layer.param
            for name in ("lr_mult", "decay_mult")
        )
    )
