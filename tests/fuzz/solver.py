"""Solvers as text: parsed, their settings checked, written, and parsed again."""

from tests.fuzz.target import contents, fuzz, instrumented

with instrumented():
    from sscaffe.prototxt import format_net, parse_solver
    from sscaffe.solver.settings import checked
from tests.hostile.cases import SOLVER
from tests.hostile.prototxts import cases


def parse(content: bytes) -> None:
    solver = checked(parse_solver(content))
    again = parse_solver(format_net(solver))
    assert again.SerializeToString() == solver.SerializeToString()


if __name__ == "__main__":
    old = b'net: "a" solver_type: ADAM lr_policy: "step" gamma: 0.1 stepsize: 9 test_iter: 1'
    fuzz(parse, SOLVER.encode(), old, *contents(cases(120)))
