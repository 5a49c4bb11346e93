"""Training: the solver, its six update rules, regularization, connectivity, snapshots."""

import os

from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_solver
from sscaffe.solver.settings import checked
from sscaffe.solver.solver import Solver


class SGDSolver(Solver):
    """A solver of type SGD, whatever its file says."""

    type_name = "SGD"


class NesterovSolver(Solver):
    """A solver of type Nesterov, whatever its file says."""

    type_name = "Nesterov"


class AdaGradSolver(Solver):
    """A solver of type AdaGrad, whatever its file says."""

    type_name = "AdaGrad"


class RMSPropSolver(Solver):
    """A solver of type RMSProp, whatever its file says."""

    type_name = "RMSProp"


class AdaDeltaSolver(Solver):
    """A solver of type AdaDelta, whatever its file says."""

    type_name = "AdaDelta"


class AdamSolver(Solver):
    """A solver of type Adam, whatever its file says."""

    type_name = "Adam"


_CLASSES: dict[str, type[Solver]] = {
    solver.type_name: solver
    for solver in (
        SGDSolver,
        NesterovSolver,
        AdaGradSolver,
        RMSPropSolver,
        AdaDeltaSolver,
        AdamSolver,
    )
}


def get_solver(
    param_or_path: caffe_pb2.SolverParameter | str | os.PathLike[str], *, allow_python: bool = False
) -> Solver:
    """Return a solver of the class that its `type` names.

    Parameters
    ----------
    param_or_path : SolverParameter or path-like
        What to do, or the prototxt that says so.
    allow_python : bool
        Let layers of type Python run their code.

    Raises
    ------
    SscaffeError
        As `Solver` does.
    """
    source = ""
    if not isinstance(param_or_path, caffe_pb2.SolverParameter):
        source, param_or_path = os.fspath(param_or_path), read_solver(param_or_path)
    # A type that there is not is for the solver to refuse.
    solver = _CLASSES.get(checked(param_or_path).type, Solver)
    return solver(param_or_path, source=source, allow_python=allow_python)


get_solver_from_file = get_solver
"""pycaffe's first name of it."""

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "get_solver",
    "get_solver_from_file",
]
