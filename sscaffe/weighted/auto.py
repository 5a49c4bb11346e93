"""The kernel that is another one: dense, or a sparse one that was measured to be faster."""

from typing import Any

import numpy as np

from sscaffe.blob import Blob
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.tensor import Tensor
from sscaffe.weighted.base import NOTHING, Epilogue, Propagate, WeightedKernel
from sscaffe.weighted.choice import Choice, Zeros


class AutoKernel(WeightedKernel):
    """Dense, or a sparse kernel where that was measured to be faster on this machine.

    In TRAIN it is dense. In TEST it looks at the zeros of the weights whenever they have changed,
    times the kernels that might gain from them, and remembers their times: see
    `sscaffe.memo`.
    """

    mode_name = "AUTO"
    trains = True

    def _start(self, group: int, batch: int) -> None:
        """Begin with the dense kernel."""
        self._dense = self._running = self._make_dense()
        self._choice = Choice(self._candidates, group, self._work())
        self._seen: Tensor | None = None  # the weights that the choice was made for
        self._version = -1
        self._native: tuple[Any, tuple[int, ...]] | None = None
        self._is_fixed = self.phase == caffe_pb2.TRAIN or batch == 0

    def _make_dense(self) -> WeightedKernel:
        """Return the dense kernel."""
        raise NotImplementedError

    def _work(self) -> str:
        """Say what all kernels compute."""
        raise NotImplementedError

    def _set_batch(self, batch: int) -> None:
        """Go on with so many images."""
        raise NotImplementedError

    def _candidates(self, zeros: Zeros) -> dict[str, WeightedKernel]:
        """Return the kernels that weights with such zeros may gain from, the dense one first."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """Which code really runs, and why where that is not what was asked for."""
        if self._is_fixed:
            return self._dense.description
        return f"{self._running.description} (AUTO: {self._choice.reason})"

    @property
    def holds_weights(self) -> bool:
        """See `WeightedKernel.holds_weights`."""
        return self._running.holds_weights

    @property
    def replays(self) -> bool:
        """See `WeightedKernel.replays`."""
        return self._running.replays

    def be_repeated(self) -> None:
        """See `WeightedKernel.be_repeated`; another kernel may be the best then."""
        if not self.is_repeated:
            self.is_repeated, self._seen = True, None

    def resize(self, batch: int) -> bool:
        """See `WeightedKernel.resize`; the choice stays."""
        if not self._running.resize(batch):
            return False
        # Other weights may come, and with them another choice.
        self._set_batch(batch)
        self._dense = self._make_dense()
        self._choice.work = self._work()
        return True

    def forward(
        self,
        bottom: Blob,
        weights: Blob,
        bias: Blob | None,
        top: Blob,
        epilogue: Epilogue = NOTHING,
    ) -> None:
        """Set ``top.data``, with what `epilogue` adds."""
        # A layer of a few microseconds feels every call: this is all that a settled choice costs.
        tensor = weights.data_tensor
        if self._is_fixed or (tensor is self._seen and tensor.version == self._version):
            self._running.forward(bottom, weights, bias, top, epilogue)
            if self._native is not None:
                self._hand_on(top)
            return
        self._choice.is_repeated = self.is_repeated
        self._running = self._choice.kernel(bottom, weights, bias, top, epilogue)
        self._seen, self._version = tensor, tensor.version
        self._native = self._look_at_native(bottom, weights, bias, top)
        if self._running is not self._dense and self.device.is_cpu:
            self._dense = self._make_dense()  # without what it has made of the weights
        self._running.forward(bottom, weights, bias, top, epilogue)
        if self._native is not None:
            self._hand_on(top)
        if self._choice.is_news and self.layer_name:
            logger.info("%s: %s", self.layer_name, self.description)
            self._choice.is_news = False

    def _look_at_native(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob
    ) -> tuple[Any, tuple[int, ...]] | None:
        """Return the layout that the dense kernel gives the top, if it has to be made."""
        if not self.hands_on_native or self._running is self._dense or self.dtype != np.float32:
            return None
        if not self.device.is_cpu:
            return None
        other = Blob(top.shape, top.dtype, top.device)
        self._dense.forward(bottom.alias(), weights, bias, other)
        layout = other.data_tensor.memory(top.shape).layout
        return None if layout.is_plain else (layout, top.shape)

    def _hand_on(self, top: Blob) -> None:
        """Move the top to the dense kernel's layout; the choice has reckoned with that."""
        assert self._native is not None
        layout, shape = self._native
        if shape == top.shape:
            top.data_tensor.memory_as(layout, shape)

    def backward(
        self, top: Blob, bottom: Blob, weights: Blob, bias: Blob | None, wanted: Propagate
    ) -> None:
        """Set ``bottom.diff`` and add to ``weights.diff`` and ``bias.diff``, as `wanted` says."""
        self._dense.backward(top, bottom, weights, bias, wanted)
