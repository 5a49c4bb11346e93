"""Golden cases of the command line, and what the log of any case is compared by."""

import re
import shlex
from pathlib import Path

from sscaffe.cli import main
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net, parse_solver
from sscaffe.serialized import read_binary, write_binary

_COMPARED = re.compile("Iteration|MultiStep|Gradient clipping|    (Train net output|Total)")
_COMPARED_OF_COMMANDS = re.compile(
    f"{_COMPARED.pattern}|Test loss|    Test net output|Snapshotting|Finetuning|"
    r"Running for|Extract|    \[(For|Back)ward\]"
)
_TIMES = re.compile("Iteration: ")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf")
_PARTS = {"regular": "regularization", "acc": "accuracy"}  # of words in a line
_MODE = re.compile(r"DISCONNECTED_(ELTWISE|GRPWISE)")


def compare_logs(check, got, expected, pattern=_COMPARED):
    """Compare the lines of training that do not deal with sparsity.

    Parameters
    ----------
    check : Check
        Is told of differences.
    got : list of str
        All that was logged.
    expected : list of str or None
        What the original logged; None compares nothing.
    pattern : Pattern
        Which lines to compare.
    """
    if expected is None:
        return
    got, expected = (
        [line for line in lines if pattern.match(line) and not _TIMES.match(line)]
        for lines in (got, expected)
    )
    check.equal("log", "number of lines", len(got), len(expected))
    for own, other in zip(got, expected, strict=False):
        part = next((part for word, part in _PARTS.items() if word in other), "log")
        check.equal(part, "words", _NUMBER.sub("#", own), _NUMBER.sub("#", other))
        numbers = [[float(n) for n in _NUMBER.findall(line)] for line in (own, other)]
        check.close(part, other, *numbers)


def run_upgrade(case, check, log):
    """Upgrade a text by the command; compare the file and the lines that users look for."""
    is_solver = "solver" in case.info["tool"]
    status = main(["upgrade", "in.prototxt", "new.prototxt"])
    check.equal("status", "fails", status != 0, case.info["rc"] != 0)
    lines = [line.partition("] ")[2] for line in case.info["stderr"]]
    told = [line for line in lines if line.startswith(("Attempting", "Successfully", "File"))]
    check.equal("log", "lines", [line for line in log() if not line.startswith("Wrote")], told)
    if case.info["rc"]:
        return
    parse = parse_solver if is_solver else parse_net
    got, expected = (parse(Path(name).read_text()) for name in ("new.prototxt", "out.prototxt"))
    check.equal("out", "net or solver", got, expected)


def run_cli(case, check, log):
    """Run commands one after another; compare whether they fail, and what they log."""
    if Path("solver.prototxt").exists():
        # The recordings are of a program that always sets small weights to zero.
        with Path("solver.prototxt").open("a") as file:
            file.write("prune_threshold: 1e-4 prune_scope: ALL")
    for command in case.info["commands"]:
        program, *words = shlex.split(command["cmd"])
        if mode := _MODE.search(command["log"]):
            # The same words twice: only the files of the second time are there, and differ in this.
            for path in (Path("net.prototxt"), Path("solver.prototxt")):
                path.write_text(_MODE.sub(mode.group(), path.read_text()))
        before = len(log())
        status = main(words if program == "caffe" else [program, *words])
        check.equal("status", f"{command['cmd']} fails", status != 0, command["rc"] != 0)
        if command["rc"]:
            continue
        lines = [line.partition("] ")[2] for line in Path(command["log"]).read_text().splitlines()]
        compare_logs(check, log()[before:], lines, _COMPARED_OF_COMMANDS)
        for path in Path().glob("*.solverstate"):
            forget_data(path)


def forget_data(path):
    """Make a state one of the original, which starts with the first row of the data again."""
    state = read_binary(path, caffe_pb2.SolverState)
    for descriptor, _ in state.ListFields():
        if descriptor.number > 1000:
            state.ClearField(descriptor.name)
    write_binary(path, state)
