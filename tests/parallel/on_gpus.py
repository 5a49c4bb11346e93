"""How a rank of `driver.py` trains on a GPU of the stand-in, and what goes wrong there."""

import time

from sscaffe import device
from sscaffe.glog import log_to_stderr, logger
from sscaffe.kernels import gpu_nccl
from sscaffe.kernels.gpu_runtime import xp


def place(words, world):
    """Return the device of a rank, and do to NCCL what the words say.

    ``shared``: all ranks use one GPU; ``deaf``: nobody waits for means; ``hasty``: means are begun
    before gradients are there.
    """
    log_to_stderr()
    if "deaf" in words:
        gpu_nccl.Mean.wait = lambda self: None
    if "hasty" in words:
        gpu_nccl.xp.cuda.Stream.wait_event = lambda self, event: None
    return device.gpu(0 if "shared" in words else world.rank)


def lose_another(solver):
    """Let NCCL find, after some iterations, that another process is gone."""
    if solver.iter == 3:
        solver.team._reduction._means._nccl._comm._error = 6


def get_stuck(solver):
    """Let rank 1 begin no mean after some iterations, and rank 0 wait for it in NCCL."""
    comm = solver.team._reduction._means._nccl._comm
    reduce, abort = comm.allReduce, comm.abort

    def give_up():
        logger.info("NCCL is given up")
        abort()

    def wait(*arguments):
        if solver.iter == 3 and solver.team.world.rank == 1:
            solver.team._watchdog.deadline = 600.0  # It is the one of rank 0 that is to bark.
            time.sleep(600)
        reduce(*arguments)
        xp.cuda.Stream.null.wait_event(solver.team._reduction._means._nccl._stream.record())

    comm.allReduce, comm.abort = wait, give_up
    solver.team._watchdog.before_leaving[:] = [give_up]


def one_by_one(solver):
    """Let layers run by themselves, so that means begin beside them; count those that do."""
    net = solver.net
    solver.begun = []
    reduction = solver.team._reduction
    start = reduction._start

    def begin(bucket):
        solver.begun.append(reduction._is_armed)
        start(bucket)

    reduction._start = begin
    net.before_forward(lambda name: None)
