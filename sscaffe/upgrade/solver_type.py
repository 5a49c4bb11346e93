"""The update rule of a solver as an enum, in the form of today: as a name."""

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2

_Solver = caffe_pb2.SolverParameter

_NAMES = {
    _Solver.SGD: "SGD",
    _Solver.NESTEROV: "Nesterov",
    _Solver.ADAGRAD: "AdaGrad",
    _Solver.RMSPROP: "RMSProp",
    _Solver.ADADELTA: "AdaDelta",
    _Solver.ADAM: "Adam",
}


def is_needed(solver: _Solver) -> bool:
    """Tell whether a solver names its rule by the enum."""
    return solver.HasField("solver_type")


def upgrade(solver: _Solver) -> _Solver:
    """Return the solver with `type` in place of `solver_type`.

    Raises
    ------
    PrototxtError
        If both are set.
    """
    name = _NAMES[solver.solver_type]
    if solver.HasField("type"):
        raise PrototxtError(f'solver_type: type is set as well; write type: "{name}" only')
    upgraded = _Solver()
    upgraded.CopyFrom(solver)
    upgraded.ClearField("solver_type")
    upgraded.type = name
    return upgraded
