"""Run commands in this process and tell what each did: ``driver.py COMMANDS FOLDER``.

COMMANDS is a file of one command a line. For each of them, a line of JSON says how it ended.
"""

import contextlib
import importlib
import io
import json
import os
import sys
import time
from pathlib import Path

from sscaffe.cli import main

opened: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note what is opened, run or connected to."""
    if event == "open" and isinstance(arguments[0], str | bytes):
        opened.append(os.path.realpath(os.fsdecode(arguments[0])))
    if event in ("subprocess.Popen", "os.system", "os.exec", "socket.connect"):
        opened.append(event)


def is_allowed(path: str, folder: str) -> bool:
    """Tell whether a file is in the folder, or one that Python or the system lends."""
    roots = [folder, sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev/null", "/usr", "/lib"]
    roots += [str(Path(__file__).resolve().parents[2] / "sscaffe"), os.environ["SSCAFFE_CACHE"]]
    return path.startswith(tuple(roots)) or path == "/etc/localtime"


def peak() -> int:
    """Return the most memory that was in use since `forget_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def forget_peak() -> None:
    """Count the most memory from here on, where the system lets a process do so."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def run(command: str, folder: str) -> dict[str, object]:
    """Run one command."""
    out, err = io.StringIO(), io.StringIO()
    before = {path.name for path in Path(folder).iterdir()}
    forget_peak()
    opened.clear()
    start = time.process_time()  # which depends on nobody else
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(command.split())
    seconds = time.process_time() - start
    return {
        "status": status,
        "err": err.getvalue(),
        "seconds": seconds,
        "peak": peak(),
        "opened": [path for path in opened if not is_allowed(path, folder)],
        "left": sorted({path.name for path in Path(folder).iterdir()} - before),
    }


if __name__ == "__main__":
    commands, folder = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines(), sys.argv[2]
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(["time", "--help"])
    for module in (
        "h5py",
        "lmdb",
        "PIL.Image",
    ):  # as they are imported, they ask for the machine
        importlib.import_module(module)
    sys.addaudithook(watch)
    for line in commands:
        # Before the next command, which may end the process.
        sys.stdout.write(json.dumps(run(line, os.path.realpath(folder))) + "\n")
        sys.stdout.flush()
