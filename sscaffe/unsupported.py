"""Fields that can be read but not obeyed: refused where the result would be another, else told.

Whoever builds from a message calls `check` on it: a layer, a net, a solver.
"""

from typing import Any, NamedTuple

from google.protobuf.message import Message

from sscaffe.errors import UnsupportedError
from sscaffe.glog import logger

_Descriptor = Any  # protobuf has one class of descriptors in Python and another in C


class Field(NamedTuple):
    """A field that nothing obeys.

    Attributes
    ----------
    harmless : object
        The value that asks for nothing; None where every value asks for something.
    advice : str
        What to do.
    refused : bool
        Whether it would change a result; otherwise a warning is enough.
    below : float
        Values less than this ask for nothing either; None where there are no such values.
    """

    harmless: Any
    advice: str = "leave the field out"
    refused: bool = True
    below: float | None = None


_SCALE = "put a Scale layer after this one and leave the field out"
_WARNED = Field(False, refused=False)

FIELDS: dict[str, dict[str, Field]] = {
    "SolverParameter": {
        "force_decay": Field(0),
        "max_threshold_factor": Field(1, below=2),  # SkimCaffe's own solvers switch it off by 0
        "disabled_update": Field(False),
        "warmup_iter": Field(0),
        "local_lr_auto": Field(False),
        "eval_type": Field("classification"),
    },
    "ParamSpec": {"force_regularize": Field(None, refused=False)},
    "LayerParameter": {"quantization_param": Field(None)},
    "BatchNormParameter": {
        "use_weight_bias": Field(False, _SCALE),
        "bias_term": Field(False, _SCALE),
        "filler": Field(None, _SCALE),
        "bias_filler": Field(None, _SCALE),
    },
    "ConvolutionParameter": {
        "dump_parameter": _WARNED,
        "dump_activation": _WARNED,
        "parameter_sparsity_pattern_histogram": _WARNED,
    },
    "InnerProductParameter": {"dump_parameter": _WARNED, "dump_activation": _WARNED},
    "RecurrentParameter": {"debug_info": _WARNED},
    "DetectionOutputParameter": {
        "save_output_param": Field(None, refused=False),
        "visualize": _WARNED,
        "save_file": Field("", refused=False),
    },
}
"""The fields of each message."""

# What is built, and so checked, by itself.
_APART = ("NetParameter", "LayerParameter", "V1LayerParameter")


def check(message: Message, where: str = "") -> None:
    """Refuse fields of a message that ask for what there is not, and warn of idle ones.

    Parameters
    ----------
    message : Message
        A solver, net or layer. The messages in it are checked too, but for nets and layers.
    where : str
        What has the message, for warnings, as in ``layer 'conv1'``.

    Raises
    ------
    UnsupportedError
        If a field would change the result.
    """
    known = FIELDS.get(message.DESCRIPTOR.name, {})
    for descriptor, value in message.ListFields():
        field = known.get(descriptor.name)
        if field and not _is_idle(field, value):
            _tell(field, descriptor, value, where)
        inner = descriptor.message_type
        if inner and inner.name not in _APART:
            for one in [value] if isinstance(value, Message) else value:
                check(one, where)


def _is_idle(field: Field, value: Any) -> bool:
    if field.below is not None and value < field.below:
        return True
    return field.harmless is not None and bool(value == field.harmless)


def _tell(field: Field, descriptor: _Descriptor, value: Any, where: str) -> None:
    name = descriptor.name
    if field.refused:
        shown = "" if descriptor.message_type else f"{_written(value)} "
        raise UnsupportedError(f"{name}: {shown}is not supported; {field.advice}")
    place = f" of {where}" if where else ""
    logger.warning("%s: not supported; the field%s has no effect", name, place)


def _written(value: Any) -> str:
    """Return a value as a prototxt has it, or nearly."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else repr(value)
