"""``sscaffe launch``: what it refuses before any rank is started."""

import pytest

from sscaffe.cli import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-n 2", "expected -- train and its flags, got ''"),
        ("-n 2 -- test -model x", "expected -- train and its flags, got 'test -model x'"),
        ("-n 0 -- train -solver solver.prototxt", "0 is not in the range x>=1"),
        ("-n 2 --deadline soon -- train -solver x", "deadline: expected a number above 0"),
        ("-n 2 -- train -solver none.prototxt", "none.prototxt"),
        ("-n 2 -- train --sovler x", "expected --solver"),
        ("-n 2 --mpiexec ./none -- train -solver solver.prototxt", "./none does not run"),
    ],
)
def test_what_is_refused(tiny, capsys, words, message):
    assert main(["launch", *words.split()]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "fault of its own" not in error
