"""The learnable blobs of a net: who owns each, how it learns, who shares it."""

import math

from sscaffe.blob import Blob, Param
from sscaffe.errors import PrototxtError, ShapeError
from sscaffe.layer import Layer
from sscaffe.proto import caffe_pb2
from sscaffe.sparsity import block_size

_CONVOLUTIONS = ("Convolution", "Deconvolution", "DepthwiseConvolution", "ConvolutionDepthwise")

# What layers that share a parameter may each leave out, but must not contradict.
_AGREED = (
    "lr_mult",
    "decay_mult",
    "breadth_decay_mult",
    "kernel_shape_decay_mult",
    "regularization_type",
)


class ParamTable:
    """The parameters of a net, in the order of its layers."""

    def __init__(self) -> None:
        self.all: list[Param] = []
        self.owners: list[Param] = []
        self.shared: set[tuple[str, int]] = set()
        self._named: dict[str, Param] = {}

    def add_layer(self, layer: Layer, bottom: list[Blob]) -> bool:
        """Add the blobs of a layer that was set up, and tell it which of them learn.

        Parameters
        ----------
        layer : Layer
            The layer; its ``param_propagate_down`` is set.
        bottom : list of Blob
            Its bottoms.

        Returns
        -------
        bool
            Whether any of its blobs learns.

        Raises
        ------
        PrototxtError
            If its ``param`` entries are too many, or contradict those of a layer that shares one.
        ShapeError
            If a shared blob has another shape, or the blocks of a group lasso do not tile it.
        """
        specs = _specs(layer)
        for index, (blob, spec) in enumerate(zip(layer.blobs, specs, strict=True)):
            param = Param(blob, layer.name, index, spec, learns=layer.learns)
            if index == 0:
                _describe_columns(param, layer, bottom)
            for block in spec.block_group_lasso:
                block_size(param, block)  # refused here, where the layer's place is known
            layer.param_propagate_down[index] = spec.lr_mult != 0
            self._add(param)
        return any(layer.param_propagate_down)

    def _add(self, param: Param) -> None:
        self.all.append(param)
        owner = self._named.get(param.spec.name) if param.spec.name else None
        if owner is None:
            self.owners.append(param)
            if param.spec.name:
                self._named[param.spec.name] = param
            return
        _check_shapes(owner, param)
        _merge_specs(owner, param)
        param.blob.share_data(owner.blob)
        param.blob.share_diff(owner.blob)
        self.shared.add((param.layer_name, param.index))


def _specs(layer: Layer) -> list[caffe_pb2.ParamSpec]:
    """Return a ParamSpec for each blob of a layer."""
    given, count = layer.layer_param.param, len(layer.blobs)
    if len(given) > count:
        raise PrototxtError(f"param: expected at most {count}, one for each blob, got {len(given)}")
    specs = [caffe_pb2.ParamSpec() for _ in range(count)]
    for spec, source in zip(specs, given, strict=False):
        spec.CopyFrom(source)
    if not layer.learns:
        _freeze(layer, specs)
    return specs


def _freeze(layer: Layer, specs: list[caffe_pb2.ParamSpec]) -> None:
    given = layer.layer_param.param
    # Files older than this rule carry settings for each of the blobs; Caffe drops all of them.
    if len(given) < len(specs) and any(spec.lr_mult for spec in given):
        raise PrototxtError(
            f"lr_mult: expected 0, as the blobs of {layer.type} are statistics, got "
            f"{next(spec.lr_mult for spec in given if spec.lr_mult):g}; leave param out"
        )
    for spec in specs:
        spec.lr_mult = 0.0


def _describe_columns(param: Param, layer: Layer, bottom: list[Blob]) -> None:
    """Tell how the columns of a weight matrix come about."""
    if layer.type in _CONVOLUTIONS:
        param.group = layer.layer_param.convolution_param.group
        param.kernel_count = math.prod(param.shape[2:])
    elif layer.type == "InnerProduct":
        settings = layer.layer_param.inner_product_param
        if not settings.transpose:
            axis = settings.axis % max(bottom[0].ndim, 1)
            param.kernel_count = math.prod(bottom[0].shape[axis + 1 :])


def _check_shapes(owner: Param, param: Param) -> None:
    permissive = param.spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
    if permissive and owner.blob.count != param.blob.count:
        raise ShapeError(
            f"param: {param.spec.name!r} has {owner.blob.count} elements, shape {owner.shape}, in "
            f"layer {owner.layer_name!r}; expected as many for shape {param.shape}"
        )
    if not permissive and owner.shape != param.shape:
        hint = ""
        if owner.blob.count == param.blob.count:
            hint = "; share_mode: PERMISSIVE shares blobs of different shape"
        raise ShapeError(
            f"param: expected shape {param.shape}, but {param.spec.name!r} has shape "
            f"{owner.shape} in layer {owner.layer_name!r}{hint}"
        )


def _merge_specs(owner: Param, param: Param) -> None:
    """Let the owner of a parameter learn as any of the layers that share it say."""
    for field in _AGREED:
        if not param.spec.HasField(field):
            continue
        value = getattr(param.spec, field)
        if owner.spec.HasField(field) and getattr(owner.spec, field) != value:
            raise PrototxtError(
                f"{field}: expected {_written(owner.spec, field)} for the shared param "
                f"{owner.spec.name!r}, as in layer {owner.layer_name!r}, "
                f"got {_written(param.spec, field)}"
            )
        setattr(owner.spec, field, value)
    if param.spec.decay_proto:
        raise PrototxtError(
            f"decay_proto: {owner.spec.name!r} is shared; set decay_proto in layer "
            f"{owner.layer_name!r}, which owns it"
        )
    if param.spec.block_group_lasso and owner.spec.block_group_lasso:
        raise PrototxtError(
            f"block_group_lasso: the shared param {owner.spec.name!r} has it in layer "
            f"{owner.layer_name!r} already; set it in one layer only"
        )
    owner.spec.block_group_lasso.extend(param.spec.block_group_lasso)


def _written(spec: caffe_pb2.ParamSpec, field: str) -> str:
    value = getattr(spec, field)
    return f"{value:g}" if isinstance(value, float) else repr(value)
