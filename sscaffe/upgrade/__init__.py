"""Nets and solvers in the forms of old, read as what they would be today.

Each step is a pure function in a file of its own; here they are put in Caffe's order, and told of
in Caffe's words.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from sscaffe.errors import SscaffeError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.upgrade import batch_norm, group_decay, inputs, solver_type, transform, v0, v1

_M = TypeVar("_M", bound=Message)
_Net = caffe_pb2.NetParameter
_Solver = caffe_pb2.SolverParameter


class Step(NamedTuple, Generic[_M]):
    """One step from an old form to a newer one.

    Attributes
    ----------
    is_needed : callable
        Tells whether a message has the old form.
    apply : callable
        Returns the newer form; the message itself is not changed.
    what, done : str
        What Caffe says that it attempts to upgrade, and has upgraded.
    """

    is_needed: Callable[[_M], bool]
    apply: Callable[[_M], _M]
    what: str
    done: str


_FILE = "file specified using deprecated "

NET_STEPS: tuple[Step[_Net], ...] = (
    Step(v0.is_needed, v0.upgrade, f"input {_FILE}V0LayerParameter", f"{_FILE}V0LayerParameter"),
    Step(
        transform.is_needed,
        transform.upgrade,
        f"input {_FILE}transformation parameters",
        f"{_FILE}data transformation parameters.",
    ),
    Step(v1.is_needed, v1.upgrade, f"input {_FILE}V1LayerParameter", f"{_FILE}V1LayerParameter"),
    Step(inputs.is_needed, inputs.upgrade, f"input {_FILE}input fields", f"{_FILE}input fields."),
    Step(
        batch_norm.is_needed,
        batch_norm.upgrade,
        "batch norm layers using deprecated params",
        "batch norm layers using deprecated params.",
    ),
    Step(
        group_decay.is_needed,
        group_decay.upgrade,
        f"input {_FILE}group_decay_mult",
        f"{_FILE}group_decay_mult",
    ),
)
"""From a net in any form to one of today."""

SOLVER_STEPS: tuple[Step[_Solver], ...] = (
    Step(
        solver_type.is_needed,
        solver_type.upgrade,
        f"input {_FILE}'solver_type' field (enum)'",
        f"{_FILE}'solver_type' field (enum) to 'type' field (string).",
    ),
    Step(
        group_decay.is_needed_by_solver,
        group_decay.upgrade_solver,
        f"input {_FILE}group_weight_decay",
        f"{_FILE}group_weight_decay",
    ),
)
"""From a solver in any form to one of today."""


def upgrade_net(net: _Net, source: str = "") -> _Net:
    """Return a net in the form of today.

    Parameters
    ----------
    net : NetParameter
        In any form; it is not changed.
    source : str
        Its file, for the log.

    Returns
    -------
    NetParameter
        `net` itself if there is nothing to upgrade.

    Raises
    ------
    PrototxtError
        If it means nothing in the form that it has.
    """
    return _upgrade(net, NET_STEPS, "net", source)


def upgrade_solver(solver: _Solver, source: str = "") -> _Solver:
    """Return a solver in the form of today; the nets in it are left to whoever builds them.

    Parameters
    ----------
    solver : SolverParameter
        In any form; it is not changed.
    source : str
        Its file, for the log.

    Returns
    -------
    SolverParameter
        `solver` itself if there is nothing to upgrade.

    Raises
    ------
    PrototxtError
        If `solver_type` and `type` are both set, or `group_weight_decay` and its new name.
    """
    return _upgrade(solver, SOLVER_STEPS, "solver", source)


def tell_of_old_layers(model: _Net, source: str) -> None:
    """Log the forms of a caffemodel's layers whose blobs are taken as they stand."""
    for step in NET_STEPS:
        if step.apply in (v0.upgrade, v1.upgrade) and step.is_needed(model):
            _tell_before(step, source)
            _tell_after(step)
            return  # V1LayerParameter around V0LayerParameter is one form


def _upgrade(message: _M, steps: tuple[Step[_M], ...], kind: str, source: str) -> _M:
    for step in steps:
        if step.is_needed(message):
            _tell_before(step, source or f"the {kind}")
            try:
                message = step.apply(message)
            except SscaffeError as error:
                if source:
                    error.add_note(f"  {kind + ':':8}{source}")
                raise
            _tell_after(step)
    return message


def _tell_before(step: Step[_M], source: str) -> None:
    logger.info("Attempting to upgrade %s: %s", step.what, source)


def _tell_after(step: Step[_M]) -> None:
    logger.info("Successfully upgraded %s", step.done)
