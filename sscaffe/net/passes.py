"""Passes over a net: layer by layer, by what was written down of an earlier pass, or recorded."""

import math
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

from sscaffe.blob import Blob, Param
from sscaffe.device import Device
from sscaffe.errors import UnsupportedError
from sscaffe.kernels import Kernels
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import debug
from sscaffe.net.build import Graph
from sscaffe.net.captured import RecordedPass, blobs_of, publish
from sscaffe.net.hooks import Hooks, call_all
from sscaffe.net.plan import Plan, Unit
from sscaffe.net.step import Step, add_location, one_at_a_time
from sscaffe.net.ways import Ways


class DevicePasses:
    """Whole passes over a net on a device that records them."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._plan: Plan | None = None
        self._forward: RecordedPass | None = None
        self._backward: RecordedPass | None = None
        self._backward_of: RecordedPass | None = None
        self._blobs: list[Blob] | None = None

    def forward(self, plan: Plan, run: Callable[[Unit], Any], by_version: bool) -> Any:
        """Run the units of a plan, and return the loss: a number, or an array () of the device."""
        if plan is not self._plan or self._forward is None:
            self._plan, kernels = plan, self._kernels
            self._forward = RecordedPass(plan.units, _of_unit, run, kernels, by_version)
        return self._forward.run()

    def backward(self, plan: Plan, last: int, run: Callable[[Unit], float]) -> None:
        """Run the layers that need it from number `last` to the first."""
        if self._backward is None or self._backward_of is not self._forward:
            back = [unit for unit in plan.backward(0, last) if unit.step.needs_backward]
            self._backward_of = self._forward
            before = self._forward or RecordedPass([], _of_unit, run, self._kernels, False)
            self._backward = RecordedPass(back, _of_unit, run, self._kernels, False, before)
        self._backward.run()

    def forget(self) -> None:
        """Drop what is recorded, as layers ran forward by themselves."""
        for recorded_pass in (self._forward, self._backward):
            for recorded in recorded_pass.recorded if recorded_pass else ():
                recorded.forget()

    def publish(self, steps: Sequence[Step]) -> None:
        """Bring arrays of the host that somebody outside still holds up to date."""
        if self._blobs is None:
            self._blobs = list(blobs_of(steps))
        publish(self._blobs)


def _of_unit(unit: Unit) -> Sequence[Step]:
    return unit.step.steps


class Passes:
    """The part of `sscaffe.Net` that runs; `Net` has the rest."""

    _steps: list[Step]
    _plan: Plan
    _ways: Ways | None
    _device_passes: "DevicePasses | None"
    _graph: Graph
    _shares_weights: bool
    _device: Device
    lock: RLock
    source: str
    hooks: Hooks
    debug_info: bool
    phase: int
    blob_names: list[str]
    learnable_params: list[Param]

    @one_at_a_time
    def run_forward(self, first: int = 0, last: int | None = None) -> float:
        """Run layers forward.

        Parameters
        ----------
        first, last : int, optional
            The numbers of the first and the last layer to run; all by default.

        Returns
        -------
        float
            The loss: the weighted sum of all tops that have a loss weight.

        Raises
        ------
        SscaffeError
            If a layer cannot run; a note says which.
        """
        end = len(self._steps) - 1
        is_whole = first == 0 and (last is None or last == end)
        if self._ways is not None and is_whole:  # on the CPU
            return self._ways.run(lambda: self._forward_between(0, end))
        self._device.enter()
        if is_whole and self._is_recorded():
            return self._finite(self._record_forward())
        return self._forward_between(first, end if last is None else last)

    def _forward_between(self, first: int, last: int) -> float:
        loss: Any = 0.0
        if self._device_passes is not None:
            self._device_passes.forget()
        shares = self._shares_weights or self._graph.params.shared
        drops = self._plan.is_compact and not shares and self._device.is_cpu
        singly = self.debug_info and self.phase == TRAIN
        for unit in self._plan.between(first, last, singly=singly):
            call_all(self.hooks.before_forward, unit.places)
            loss += self._run_unit(unit)
            call_all(self.hooks.after_forward, unit.places)
            if self.debug_info and not self._plan.is_compact:
                for place in unit.places:
                    debug.log_forward(self._steps[place], self.blob_names)
            if drops:
                self._plan.drop_weights(unit)
        _publish(self._steps[first : last + 1])
        return loss if self._device.is_cpu else self._finite(loss)

    @one_at_a_time
    def run_backward(self, first: int | None = None, last: int = 0) -> None:
        """Run layers backward: set the diffs of blobs, add to those of parameters.

        Parameters
        ----------
        first, last : int, optional
            The numbers of the first and the last layer to run, from the back; all by default.

        Raises
        ------
        SscaffeError
            If a layer cannot run; a note says which.
        """
        self._device.enter()
        if self._plan.is_compact or self._plan.folded():
            self.run_singly()  # Whoever runs backward once will do so again.
        if first is None and last == 0 and self._is_recorded():
            self._record_backward()
            return
        first = len(self._steps) - 1 if first is None else first
        steps = self._steps[last : first + 1]
        for unit in self._plan.backward(last, first, singly=self.debug_info):
            call_all(self.hooks.before_backward, unit.places[::-1])
            self._run_back(unit)
            call_all(self.hooks.after_backward, unit.places[::-1])
            call_all(self.hooks.alongside_backward, unit.places[::-1])
            if self.debug_info and unit.step.needs_backward:
                debug.log_backward(self._steps[unit.places[0]])
        if self.debug_info and len(steps) == len(self._steps):
            debug.log_norms(self.learnable_params)
        _publish(steps)

    def forward_backward(self) -> float:
        """Run all layers forward, then backward; return the loss."""
        if not self._is_recorded():
            loss = self.run_forward()
            self.run_backward()
            return loss
        with self.lock:
            self._device.enter()
            value = self._record_forward()
            later = None if isinstance(value, float) else self._device.kernels.read_later(value)
            self.run_backward()
        return value if later is None else self._explained(later())

    def _is_recorded(self) -> bool:
        """Tell whether whole passes are recorded: no one wants to see single layers."""
        return self._device_passes is not None and not self.hooks and not self.debug_info

    def _record_forward(self) -> Any:
        assert self._device_passes is not None
        by_version = self.phase == TEST
        loss = self._device_passes.forward(self._plan, self._run_unit, by_version)
        self._device_passes.publish(self._steps)
        return loss

    def _record_backward(self) -> None:
        assert self._device_passes is not None
        self._device_passes.backward(self._plan, len(self._steps) - 1, self._run_back)
        self._device_passes.publish(self._steps)

    def _finite(self, loss: Any) -> float:
        """Return the loss as a number, waiting for a device that has it."""
        value = loss if isinstance(loss, float) else self._device.kernels.read_later(loss)()
        return self._explained(value)

    def _explained(self, loss: float) -> float:
        """Return a loss, or raise why it is no number if a layer knows that."""
        if not math.isfinite(loss):
            for step in self._steps:
                try:
                    step.layer.explain(step.bottom)
                except Exception as error:
                    self._locate(error, step)
                    raise
        return loss

    def _run_unit(self, unit: Unit) -> Any:
        try:
            return unit.forward()
        except Exception as error:
            self._locate(error, self._steps[unit.places[0]])
            raise

    def _run_back(self, unit: Unit) -> float:
        try:
            unit.step.backward()
        except Exception as error:
            self._locate(error, self._steps[unit.places[0]])
            raise
        return 0.0

    def run_singly(self) -> None:
        """Run each layer by itself from now on, as a backward pass and callbacks need it.

        Layers that were folded into others run once more, so that all blobs have what they should.

        Raises
        ------
        UnsupportedError
            If the net is compact.
        """
        if self._plan.is_compact:
            raise UnsupportedError(
                "backward, callbacks: compact() gave up what they need; open the net anew"
            )
        for fused in self._plan.folded():
            # Layers after the chain may have changed its top in place already.
            values = fused.top[0].host_data.copy()
            for step in fused.steps:
                step.forward()
            fused.top[0].set_data(values)
        self._plan.between(0, len(self._steps) - 1, singly=True)  # what ran as one may be in use
        self._plan = Plan(self._steps, self.phase, singly=True)

    def _locate(self, error: Exception, step: Step) -> None:
        add_location(error, step.layer.layer_param, self.source, step.describe_bottom())


def _publish(steps: Sequence[Step]) -> None:
    """Bring arrays that the caller still holds up to date."""
    for step in steps:
        for blob in step.top:
            blob.publish()
        for blob in step.layer.blobs:
            blob.publish()
