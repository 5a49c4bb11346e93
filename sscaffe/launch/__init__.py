"""Start a training on several ranks, watch over it, and start it again from its newest snapshot."""

from sscaffe.launch.launcher import Launcher
from sscaffe.launch.mpiexec import MpiExec

__all__ = ["Launcher", "MpiExec"]
