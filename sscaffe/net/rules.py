"""Which layers a net has: the include and exclude rules of each, by phase, level and stage."""

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2


def filter_net(param: caffe_pb2.NetParameter, state: caffe_pb2.NetState) -> caffe_pb2.NetParameter:
    """Leave out the layers whose rules are not for this state.

    Parameters
    ----------
    param : NetParameter
        The net; it is not changed.
    state : NetState
        Phase, level and stages.

    Returns
    -------
    NetParameter
        The net with this state, and the layers that belong to it.

    Raises
    ------
    PrototxtError
        If a layer has both include and exclude rules.
    """
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(param)
    del filtered.layer[:]
    filtered.layer.extend(layer for layer in param.layer if is_included(layer, state))
    filtered.state.CopyFrom(state)
    return filtered


def is_included(layer: caffe_pb2.LayerParameter, state: caffe_pb2.NetState) -> bool:
    """Tell whether a layer is part of a net in this state.

    Raises
    ------
    PrototxtError
        If it has both include and exclude rules.
    """
    if layer.include and layer.exclude:
        raise PrototxtError(
            f"include: layer {layer.name!r} has include and exclude rules; use one of the two"
        )
    if layer.include:
        return any(is_met(rule, state) for rule in layer.include)
    return not any(is_met(rule, state) for rule in layer.exclude)


def is_met(rule: caffe_pb2.NetStateRule, state: caffe_pb2.NetState) -> bool:
    """Tell whether every field that a rule sets agrees with the state."""
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def test_state(param: caffe_pb2.NetParameter) -> caffe_pb2.NetState:
    """Return the state that a net is in for TEST, with the level and stages that it sets."""
    state = caffe_pb2.NetState()
    state.CopyFrom(param.state)
    state.phase = caffe_pb2.TEST
    return state
