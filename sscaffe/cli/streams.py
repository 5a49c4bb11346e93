"""Standard streams that are closed, or whose reader goes away: no reason for a command to fail."""

import os
import sys

_STANDARD = 3  # the descriptors of stdin, stdout and stderr


def open_missing() -> None:
    """Let streams that are closed lead nowhere, so that no other file gets their descriptors."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def forget_readers() -> None:
    """Let what is still to be written lead nowhere, after a reader has gone away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
