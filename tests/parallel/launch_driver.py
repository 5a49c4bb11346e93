"""Launch the stand-in of a training: ``launch_driver.py -n 2 -- [flags of stand_in]``."""

import argparse
import shlex
import sys
from pathlib import Path

from sscaffe.glog import log_to_stderr
from sscaffe.launch import Launcher, MpiExec, run

STAND_IN = Path(__file__).with_name("stand_in.py")


def network(pid):
    try:
        return Path("/proc", str(pid), "ns", "net").readlink()
    except OSError:
        return None


# Namespaces share /proc; two hosts do not.
all_processes = run._processes
run._processes = lambda: [pid for pid in all_processes() if network(pid) == network("self")]


def main():
    at = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=2)
    parser.add_argument("--hosts", default="")
    parser.add_argument("--restarts", type=int, default=0)
    parser.add_argument("--deadline", type=float)
    parser.add_argument("--patient", action="store_true", help="let the ranks find out themselves")
    parser.add_argument("--mpiexec", default="")
    flags = parser.parse_args(sys.argv[1:at])
    program = [sys.executable, str(STAND_IN), *sys.argv[at + 1 :]]
    log_to_stderr()
    if flags.patient:
        run._LATE = 1000.0
    hosts = [host for host in flags.hosts.split(",") if host]
    mpiexec = MpiExec.find(shlex.split(flags.mpiexec))
    launcher = Launcher(mpiexec, flags.n, hosts, flags.restarts, flags.deadline)
    return launcher.launch(
        program, lambda: ("state.npy" if Path("state.npy").exists() else "", program)
    )


sys.exit(main())
