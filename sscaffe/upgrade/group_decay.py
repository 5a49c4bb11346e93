"""Group lasso of 2015, which had one kind of group, in the form of today.

A group was one column of the weights of a convolution: what ``kernel_shape_decay`` is for now.
"""

from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2

_Net = caffe_pb2.NetParameter
_Solver = caffe_pb2.SolverParameter
_Param = caffe_pb2.ParamSpec

_CONVOLUTIONS = ("Convolution", "Deconvolution")


def is_needed(net: _Net) -> bool:
    """Tell whether a param of a net has the old name."""
    return any(spec.HasField("group_decay_mult") for layer in net.layer for spec in layer.param)


def upgrade(net: _Net) -> _Net:
    """Return the net with `kernel_shape_decay_mult` in place of `group_decay_mult`.

    Only weights of convolutions obeyed it; elsewhere it is left out, and logged.

    Raises
    ------
    PrototxtError
        If both are set.
    """
    upgraded = _Net()
    upgraded.CopyFrom(net)
    for layer in upgraded.layer:
        for index, spec in enumerate(layer.param):
            if spec.HasField("group_decay_mult"):
                _rename(spec, index == 0 and layer.type in _CONVOLUTIONS, layer.name)
    return upgraded


def is_needed_by_solver(solver: _Solver) -> bool:
    """Tell whether a solver has the old name."""
    return solver.HasField("group_weight_decay")


def upgrade_solver(solver: _Solver) -> _Solver:
    """Return the solver with `kernel_shape_decay` in place of `group_weight_decay`.

    Raises
    ------
    PrototxtError
        If both are set.
    """
    if solver.HasField("kernel_shape_decay"):
        raise PrototxtError(
            "group_weight_decay: kernel_shape_decay, its name of today, is set as well; keep one"
        )
    upgraded = _Solver()
    upgraded.CopyFrom(solver)
    upgraded.kernel_shape_decay = solver.group_weight_decay
    upgraded.ClearField("group_weight_decay")
    return upgraded


def _rename(spec: _Param, obeyed: bool, layer: str) -> None:
    value = spec.group_decay_mult
    spec.ClearField("group_decay_mult")
    if not obeyed:
        if value:
            logger.warning("group_decay_mult of layer %r: only convolutions obeyed it", layer)
    elif spec.HasField("kernel_shape_decay_mult"):
        raise PrototxtError(
            f"group_decay_mult: layer {layer!r} sets kernel_shape_decay_mult, its name of today, "
            "as well; keep one"
        )
    else:
        spec.kernel_shape_decay_mult = value
