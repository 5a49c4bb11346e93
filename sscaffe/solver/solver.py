"""Solver: trains a net as a SolverParameter says."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

from sscaffe.blob import Array, Blob
from sscaffe.device import Device
from sscaffe.errors import FullError
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.parallel.team import Team, warn_if_alone
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_solver
from sscaffe.solver import display
from sscaffe.solver.connectivity import Connectivity, disconnected
from sscaffe.solver.divergence import require_finite_loss, require_finite_weights, unwarned
from sscaffe.solver.learning_rate import current_step, learning_rate
from sscaffe.solver.nets import NetMaker, share_weights
from sscaffe.solver.saving import Saving
from sscaffe.solver.scores import outputs_of, run_tests
from sscaffe.solver.scripting import Calls
from sscaffe.solver.settings import checked, device_for
from sscaffe.solver.smoothed_loss import SmoothedLoss
from sscaffe.solver.target import targets
from sscaffe.solver.update import Updater

PathLike = str | os.PathLike[str]


class Solver(Saving):
    """Trains a net: gradients, regularization, updates; tests and snapshots on the way.

    Parameters
    ----------
    param_or_path : SolverParameter or path-like
        What to do, or the prototxt that says so.
    device : Device, optional
        Where to compute; by default as `solver_mode` says, if it is set, else the CPU.
    root : str
        The folder that relative paths start from; the working directory by default.
    source : str
        The file that `param_or_path` came from, for errors and the names of snapshots.
    test_conv_mode : str, optional
        The conv_mode of every convolution of the test nets, whatever their prototxt says.
    allow_python : bool
        Let layers of type Python run their code.
    team : Team, optional
        The ranks that train together, each with a solver like this one; alone by default. Then all
        of them call `solve`, `step`, `test_all`, `snapshot` and `restore` together.

    Attributes
    ----------
    param : SolverParameter
        What to do.
    net : Net
        The net in training; `test_nets` are those that test it, with its weights.
    iter : int
        Iterations done.
    history : list of Blob
        What the update rule remembers, in the order of a .solverstate.
    smoothed_loss : float
        The mean loss of the last average_loss iterations. As in Caffe, each call of `step` starts
        a mean of its own, but for the first after `restore`.
    test_results : list of dict of str to ndarray
        For each test net, the mean of each output in the last test.
    snapshot_path : str
        The last .solverstate written; empty if there is none.
    goes_on_without_room : bool
        Whether a snapshot on the way for which there is no room is a warning; the last is an error.
    callbacks : list of callable
        Called with the solver after each iteration; they may change weights.

    Raises
    ------
    SscaffeError
        If a net cannot be built, or a setting cannot be met.
    """

    type_name: ClassVar[str] = ""
    """The update rule of a subclass, whatever `type` says."""

    def __init__(
        self,
        param_or_path: caffe_pb2.SolverParameter | PathLike,
        *,
        device: Device | None = None,
        root: str = "",
        source: str = "",
        test_conv_mode: str | None = None,
        allow_python: bool = False,
        team: Team | None = None,
    ) -> None:
        if not isinstance(param_or_path, caffe_pb2.SolverParameter):
            source = source or os.fspath(param_or_path)
            param_or_path = read_solver(param_or_path)
        self.param = checked(param_or_path)
        self.param.type = self.type_name or self.param.type
        self._root, self._source, self._test_conv_mode = root, source, test_conv_mode
        self.team = team or Team()
        if team is None:
            warn_if_alone()
        self.iter = self._step = 0
        self.callbacks: list[Callable[[Solver], None]] = []
        self.calls = Calls()
        self.test_results: list[dict[str, Array]] = []
        self.snapshot_path, self.goes_on_without_room = "", False
        self._snapshot_iter = -1
        self._losses, self._speed = SmoothedLoss(self.param.average_loss), display.Speed()
        self._stop_requested = self._snapshot_requested = self._snapshot_agreed = False
        self.test_nets: list[Net] = []
        self._build(device_for(self.param, device), allow_python)

    def _build(self, device: Device, allow_python: bool) -> None:
        self.rng = self.team.random_numbers(self.param.random_seed)
        logger.info("random_seed: %d", self.rng.seed)
        maker = NetMaker(
            self.param, device, self.rng, self._root, self._source, allow_python, self.team
        )
        self.net = maker.train()
        try:
            frozen = disconnected(self.net)
            self._updater = Updater(self.param, self.net, bool(frozen), self._root)
            self._connectivity = Connectivity(self.net, frozen, self._updater.freezing_threshold)
            if self.team.is_first:
                self._copy_weights()
                self.test_nets = maker.test(self._test_conv_mode)
                share_weights(self.net, self.test_nets)
            self.team.join(self.net, self.param.iter_size)
            self.team.part(self.rng)
            self.callbacks += targets(self.param, self.net, self._updater.regularizers)
        except BaseException:
            self.close()
            raise

    def _copy_weights(self) -> None:
        for names in self.param.weights:
            for name in filter(None, map(str.strip, names.split(","))):
                logger.info("Finetuning from %s", name)
                self.net.copy_from(Path(self._root, name))

    @property
    def history(self) -> list[Blob]:
        """What the update rule remembers, in the order of a .solverstate."""
        return self._updater.rule.history

    @property
    def smoothed_loss(self) -> float:
        """The mean loss of the last average_loss iterations; 0 before the first."""
        return self._losses.value

    @property
    def stop_requested(self) -> bool:
        """Whether `request_stop` was called, and neither `solve` ended nor `step` began since."""
        return self._stop_requested

    def request_stop(self) -> None:
        """End the training after this iteration; a signal handler may call it.

        `solve` then takes a snapshot; it heeds a request made before it was called as well.
        """
        self._stop_requested = True

    def request_snapshot(self) -> None:
        """Take a snapshot after this iteration; a signal handler may call it."""
        self._snapshot_requested = True

    def solve(self, resume_file: PathLike | None = None) -> None:
        """Train up to max_iter, or until a stop is requested.

        Parameters
        ----------
        resume_file : path-like, optional
            A .solverstate to go on from.

        Raises
        ------
        DivergedError
            If the loss or a weight is no longer finite.
        SscaffeError
            If a snapshot cannot be read or written.
        """
        try:
            self._solve(resume_file)
        finally:
            self._stop_requested = False

    def _solve(self, resume_file: PathLike | None) -> None:
        logger.info("Solving %s", self.net.name)
        logger.info("Learning Rate Policy: %s", self.param.lr_policy)
        if resume_file is not None:
            self.restore(resume_file)
        self._train(max(0, self.param.max_iter - self.iter))
        stopped = self._must_stop()
        if (stopped or self.param.snapshot_after_train) and self.team.any(
            self._snapshot_iter != self.iter
        ):
            self.snapshot()
        if stopped:
            logger.info("Optimization stopped early.")
            return
        self._show_end()
        logger.info("Optimization Done.")

    def step(self, iterations: int) -> None:
        """Train for some iterations, or until a stop is requested meanwhile.

        Raises
        ------
        DivergedError
            If the loss or a weight is no longer finite.
        SscaffeError
            If a layer cannot run, or a snapshot cannot be written.
        """
        self._stop_requested = False
        self._train(iterations)

    def _train(self, iterations: int) -> None:
        self._losses.begin()
        self._connectivity.begin()
        self._speed.begin(self.iter)
        try:
            for _ in range(iterations):
                if self._must_stop() or not self._iterate():
                    break
                self._take_due_snapshot()
                if self.callbacks:
                    self._call_back()
        finally:
            self._connectivity.settle()
            for blob in self.history:
                blob.publish()

    def _must_stop(self) -> bool:
        """Tell whether a stop was requested, on any of the ranks."""
        return self.team.any(self._stop_requested)

    def _call_back(self) -> None:
        self._connectivity.settle()
        for callback in self.callbacks:
            callback(self)
        self._connectivity.begin()

    @unwarned()
    def _iterate(self) -> bool:
        """Train for one iteration; False if a stop was requested in a test before it."""
        for call in self.calls.on_start:
            call()
        self.net.clear_param_diffs()
        wants_test = self._is_test_due() and (self.iter or self.param.test_initialization)
        if wants_test and self.team.any(len(self.test_all()) < len(self.test_nets)):
            return False
        self.net.debug_info = self.param.debug_info and self._is_display_due()
        loss = 0.0
        for remaining in range(self.param.iter_size - 1, -1, -1):
            if not remaining:
                self.team.begin_last_pass()
            loss += self.net.forward_backward()
        loss, self._snapshot_agreed = self.team.reduce(
            loss / self.param.iter_size, self._snapshot_requested
        )
        require_finite_loss(loss, self.net, self.param, self.iter)
        self._losses.add(loss)
        if self._is_display_due():
            self._show_iteration()
        for call in self.calls.on_gradients_ready:
            call()
        self.apply_update()
        self.iter += 1
        self.team.check(self.net, self.history, self.iter)
        return True

    def apply_update(self) -> None:
        """Make updates of the gradients that the backward pass left, and apply them."""
        shown = self._is_display_due()
        step = current_step(self.param, self.iter, self._step)
        if step > self._step and self.param.lr_policy == "multistep":
            logger.info("MultiStep Status: Iteration %d, step = %d", self.iter, step)
        self._step = step
        rate = learning_rate(self.param, self.iter, step)
        if shown:
            display.log_rate(self.iter, rate)
            display.log_sparsity(self.net.learnable_params, self.param.measure_threshold)
        self.regularization = self._updater.apply(rate, self.iter, shown)
        if shown:
            display.log_regularization(self.regularization, self.smoothed_loss, self.iter)
            require_finite_weights(self.net, self.param, self.iter)

    @unwarned()
    def test_all(self) -> list[dict[str, Array]]:
        """Run each test net for its test_iter batches.

        Returns
        -------
        list of dict of str to ndarray
            For each net, the mean of each output. Shorter if a stop was requested; then the data
            is again where it was before, so that the whole test can be run when training goes on.
            Of several ranks, rank 0 alone has test nets.

        Raises
        ------
        SscaffeError
            If a layer cannot run.
        """
        share_weights(self.net, self.test_nets)
        with self.team.alone():
            self.test_results = run_tests(
                self.test_nets, self.param, self.iter, self.rng, self._gives_up_test
            )
        return self.test_results

    def _gives_up_test(self) -> bool:
        self.team.still_alone()
        return self._stop_requested

    def close(self) -> None:
        """Let go of the files and threads of data layers."""
        for net in (self.net, *self.test_nets):
            net.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take_due_snapshot(self) -> None:
        alone = self.team.is_alone
        wanted = self._snapshot_requested if alone else self._snapshot_agreed
        if self._is_snapshot_due() or wanted:
            self._snapshot_requested = False
            try:
                self.snapshot()
            except FullError as error:
                if not self.goes_on_without_room:
                    raise
                logger.warning("%s; the training goes on", error)

    def _show_iteration(self) -> None:
        self._speed.log(self.iter)
        display.log_loss(self.iter, self.smoothed_loss)
        display.log_outputs(self.net, "Train", outputs_of(self.net))
        self.tell_display()

    @unwarned()
    def _show_end(self) -> None:
        """Log how the trained net does, as Caffe does after the last update."""
        if self._is_display_due():
            self._losses.add(self.team.mean(self.net.run_forward()))
            display.log_loss(self.iter, self.smoothed_loss)
        if self._is_test_due():
            self.test_all()
        self.tell_display()
