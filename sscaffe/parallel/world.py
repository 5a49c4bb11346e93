"""World: the processes of one job, its ranks. The only module that knows MPI.

All calls of MPI are made by the main thread.
"""

import contextlib
import os
import sys
import time
import traceback
from array import array as numbers
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.parallel.news import wait_until_read

if TYPE_CHECKING:  # The command line asks who it is before it needs NumPy.
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[Any]"
T = TypeVar("T")

# What launchers tell a process of how many it is one: MPICH's and Intel's, Open MPI's, Slurm's.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
# Of the processes on this machine: MPICH and Intel MPI, Open MPI, Slurm.
_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE")
_PLACES = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
_READ = 10.0  # seconds that the launcher gets to take what was said
_HEARD = 0.5  # seconds after which it has passed that on
_TURN = 1.0  # seconds after which rank 0 has not met the error
_SPEAKING = 30.0  # seconds that it takes to speak and to end the job, if it has
_LOOK = 0.01  # seconds
_INTERRUPTED = 130


class Sum(Protocol):
    """A sum over all ranks that is being made."""

    def progress(self) -> bool:
        """Let it go on, as it does by nothing else; return whether it is done."""

    def wait(self) -> None:
        """Wait until it is done."""


class World:
    """The processes that work on one job; this class is the world of a process that is alone.

    All ranks have to call each verb but the last four, in the same order.

    Attributes
    ----------
    rank : int
        Which process this is, from 0.
    size : int
        How many there are.
    place : int
        Which it is of those on its machine, from 0.
    """

    rank, size, place = 0, 1, 0

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone tests, displays and writes files."""
        return self.rank == 0

    def broadcast(self, value: T) -> T:
        """Return the value that rank 0 has."""
        return value

    def broadcast_array(self, array: Array) -> None:
        """Overwrite a contiguous array with that of rank 0."""

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        return [value]

    def largest(self, value: int) -> int:
        """Return the largest of the ranks' values."""
        return value

    def start_sum(self, array: Array) -> Sum:
        """Begin to replace a contiguous array by the sum of those of all ranks.

        Each rank gets the same bits. The array is not to be touched until the sum is done.

        Raises
        ------
        UnsupportedError
            If the process is alone: it has nothing to add up.
        """
        raise UnsupportedError("start_sum: this process is alone, with nobody to add up with")

    def tell_others(self, more: bool) -> None:
        """Tell the others, as rank 0, whether it goes on working alone; see `hear_first`."""

    def hear_first(self) -> bool:
        """Wait, as another than rank 0, until it calls `tell_others`; return what it tells."""
        return False

    def abort(self, status: int) -> None:
        """End the processes of all ranks, now, with an exit status; one that is alone goes on."""

    def wait_turn(self) -> None:
        """Let rank 0 speak first, and end the job, where all ranks met the same error."""


class _MpiSum:
    def __init__(self, request: Any) -> None:
        self._request = request

    def progress(self) -> bool:
        return bool(self._request.Test())

    def wait(self) -> None:
        self._request.Wait()


class MpiWorld(World):
    """The ranks of MPI's COMM_WORLD.

    Parameters
    ----------
    mpi : module
        mpi4py.MPI.
    """

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._comm = mpi, mpi.COMM_WORLD
        self._errors = self._comm.Dup()  # whatever is on its way elsewhere
        self._told: list[Any] = []  # of MPI's requests
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self.place = _first_number(os.environ, _PLACES)

    def broadcast(self, value: T) -> T:
        """See `World.broadcast`."""
        got: T = self._comm.bcast(value, root=0)
        return got

    def broadcast_array(self, array: Array) -> None:
        """See `World.broadcast_array`."""
        self._comm.Bcast(array, root=0)

    def gather(self, value: T) -> list[T]:
        """See `World.gather`."""
        values: list[T] = self._comm.allgather(value)
        return values

    def largest(self, value: int) -> int:
        """See `World.largest`."""
        number = numbers("q", [value])
        self._comm.Allreduce(self._mpi.IN_PLACE, number, op=self._mpi.MAX)
        return number[0]

    def start_sum(self, array: Array) -> Sum:
        """See `World.start_sum`."""
        return _MpiSum(self._comm.Iallreduce(self._mpi.IN_PLACE, array, op=self._mpi.SUM))

    def tell_others(self, more: bool) -> None:
        """See `World.tell_others`."""
        for rank in range(1, self.size):
            self._comm.Send(numbers("b", [more]), dest=rank)

    def hear_first(self) -> bool:
        """See `World.hear_first`."""
        more = numbers("b", [0])
        self._comm.Recv(more, source=0)
        return bool(more[0])

    def abort(self, status: int) -> None:
        """See `World.abort`."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        wait_until_read(_READ)
        time.sleep(_HEARD)
        self._comm.Abort(status)

    def wait_turn(self) -> None:
        """See `World.wait_turn`."""
        with contextlib.suppress(self._mpi.Exception):  # MPI's error is told as well.
            if self.is_first:
                word = numbers("b", [1])
                self._told = [self._errors.Isend(word, dest=rank) for rank in range(1, self.size)]
                return
            end = time.monotonic() + _TURN
            while time.monotonic() < end:
                if self._errors.Iprobe(source=0):
                    time.sleep(_SPEAKING)
                    return
                time.sleep(_LOOK)


_world = World()


def current() -> World:
    """Return the world of this process: more than itself if an MPI launcher started it.

    From then on an exception that nobody catches ends all ranks: the others would wait for ever.

    Raises
    ------
    UnsupportedError
        If a launcher started it and mpi4py is not there, or belongs to another MPI.
    """
    global _world
    started = _first_number(os.environ, _SIZES)
    if _world.size == 1 and started > 1:
        _world = _join(started)
        sys.excepthook = _tell_and_abort
        share_processors()
    return _world


def started_with() -> int:
    """Return how many processes an MPI launcher started along with this one; 1 if none did."""
    return max(1, _first_number(os.environ, _SIZES))


def share_processors() -> None:
    """Use this rank's share of the machine's processors, where OMP_NUM_THREADS says nothing.

    As many threads on each rank as there are processors would wait for each other.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        from sscaffe import _core

        here = max(1, _first_number(os.environ, _HERE))
        _core.set_num_threads(max(1, len(os.sched_getaffinity(0)) // here))


def joined() -> World:
    """Return what `current` returned last, or the world of this process alone if it was not called.

    For those who end a process, in whatever state it is.
    """
    return _world


def _join(started: int) -> MpiWorld:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no library of MPI is found
        raise UnsupportedError(
            f"{started} processes were started by MPI, and mpi4py cannot be used: {error}; "
            "pip install 'sscaffe[mpi]'"
        ) from error
    world = MpiWorld(MPI)
    if world.size != started:
        version = MPI.Get_library_version().split("\n")[0].strip(" \0")
        raise UnsupportedError(
            f"{started} processes were started, and mpi4py's MPI sees {world.size} of them, as it "
            f"is another than the launcher's; use the mpiexec of: {version}"
        )
    return world


def _tell_and_abort(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    world = joined()
    world.wait_turn()
    where = [] if isinstance(error, SscaffeError) else traceback.format_tb(trace)
    what = "".join([*where, *traceback.format_exception_only(error)])
    print(f"rank {world.rank}: {what}", file=sys.stderr, end="")  # noqa: T201 (an excepthook)
    world.abort(_INTERRUPTED if issubclass(kind, KeyboardInterrupt) else 1)


def _first_number(environment: Mapping[str, str], names: tuple[str, ...]) -> int:
    """Return the first of some variables that is a number, else 0."""
    texts = [environment.get(name, "") for name in names]
    return next((int(text) for text in texts if text.isdigit()), 0)
