"""What a box says of its layer, in few words."""

from collections.abc import Sequence
from typing import Any

from sscaffe.proto import caffe_pb2


def describe(layer: caffe_pb2.LayerParameter) -> list[str]:
    """Return the sizes and settings of a layer that a reader looks for, in lines."""
    if layer.HasField("convolution_param"):
        param = layer.convolution_param
        lines = [f"{param.num_output} x {_window(param)}"]
        more = _steps(param)
        more += [f"dilation {_few(param.dilation)}"] if any(d > 1 for d in param.dilation) else []
        more += [f"group {param.group}"] if param.group > 1 else []
        return [*lines, ", ".join(more)] if more else lines
    if layer.HasField("pooling_param"):
        pooling = layer.pooling_param
        kind = caffe_pb2.PoolingParameter.PoolMethod.Name(pooling.pool)
        window = "global" if pooling.global_pooling else _window(pooling)
        return [", ".join([f"{kind} {window}", *_steps(pooling)])]
    if layer.HasField("inner_product_param"):
        return [f"{layer.inner_product_param.num_output} outputs"]
    return _other(layer)


def _other(layer: caffe_pb2.LayerParameter) -> list[str]:
    for name in ("data_param", "image_data_param", "hdf5_data_param", "window_data_param"):
        if layer.HasField(name):
            return [f"batch {getattr(layer, name).batch_size}"]
    if layer.HasField("input_param"):
        return [_few(shape.dim) for shape in layer.input_param.shape]
    if layer.HasField("lrn_param"):
        return [f"size {layer.lrn_param.local_size}"]
    if layer.HasField("dropout_param"):
        return [f"{layer.dropout_param.dropout_ratio:g}"]
    if layer.HasField("eltwise_param"):
        return [caffe_pb2.EltwiseParameter.EltwiseOp.Name(layer.eltwise_param.operation)]
    return []


def rates(layer: caffe_pb2.LayerParameter) -> list[str]:
    """Return a line for each parameter that sets its learning rate or decay."""
    return [f"lr_mult {p.lr_mult:g}, decay_mult {p.decay_mult:g}" for p in layer.param]


def window(param: Any, name: str, default: int) -> str:
    """Return a size of a window, as in ``3`` or ``3x5``.

    Parameters
    ----------
    param : ConvolutionParameter or PoolingParameter
        Where it stands, in one of its forms.
    name : str
        ``kernel``, ``stride`` or ``pad``.
    default : int
        The size where none is given.
    """
    high, wide = getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
    if high or wide:
        return _few([high, wide])
    size = getattr(param, "kernel_size" if name == "kernel" else name)
    return str(size) if isinstance(size, int) else _few(size) or str(default)


def _window(param: Any) -> str:
    if param.kernel_h or param.kernel_w:
        return f"{param.kernel_h}x{param.kernel_w}"
    size = param.kernel_size
    if isinstance(size, int):
        return f"{size}x{size}"
    return _few(size) if len(size) > 1 else f"{size[0]}x{size[0]}" if size else "?"


def _steps(param: Any) -> list[str]:
    found = []
    for name, plain in (("stride", 1), ("pad", 0)):
        high, wide, both = (getattr(param, field) for field in (f"{name}_h", f"{name}_w", name))
        sizes = [both] if isinstance(both, int) else list(both)
        if high or wide:
            sizes = [high, wide]
        if any(size != plain for size in sizes):
            found.append(f"{name} {_few(sizes)}")
    return found


def _few(sizes: Sequence[int]) -> str:
    different = sizes[:1] if len(set(sizes)) == 1 and len(sizes) < 3 else sizes
    return "x".join(map(str, different))
