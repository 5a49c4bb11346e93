"""The nets of a solver: one to train, any number to test."""

import os
from collections.abc import Sequence
from pathlib import Path

from sscaffe.device import Device
from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.net.modes import set_conv_mode
from sscaffe.parallel.team import Team
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.random_numbers import RandomNumbers

_Settings = caffe_pb2.SolverParameter
_Source = caffe_pb2.NetParameter | str  # a net, or the file that holds one

_TRAINING = ("train_net_param", "train_net", "net_param", "net")


class NetMaker:
    """Builds the nets that a solver names, all with the same random numbers.

    Parameters
    ----------
    settings : SolverParameter
        Where the nets are, their levels and stages.
    device : Device
        Where they compute.
    rng : RandomNumbers
        What they draw from.
    root : str
        The folder that relative paths start from.
    source : str
        The solver's file, for errors.
    allow_python : bool
        Let layers of type Python run their code.
    team : Team, optional
        The ranks that train; this process alone by default.
    """

    def __init__(
        self,
        settings: _Settings,
        device: Device,
        rng: RandomNumbers,
        root: str,
        source: str,
        allow_python: bool = False,
        team: Team | None = None,
    ) -> None:
        self._settings, self._device, self._rng = settings, device, rng
        self._root, self._source, self._allow_python = root, source, allow_python
        self._team = team or Team()

    def train(self) -> Net:
        """Build the training net.

        Raises
        ------
        SscaffeError
            If there is none, or more than one, or it cannot be built.
        """
        settings = self._settings
        given = [name for name in _TRAINING if settings.HasField(name)]
        if len(given) != 1:
            got = ", ".join(given) or "none"
            raise PrototxtError(f"net: expected one of {', '.join(_TRAINING)}, got {got}")
        net = self._make(getattr(settings, given[0]), TRAIN, settings.train_state)
        if not any(net.blob_loss_weights.values()):
            logger.warning(
                "%s: no top has a loss weight, so nothing is learned; add a loss layer such as "
                "SoftmaxWithLoss",
                given[0],
            )
        return net

    def test(self, conv_mode: str | None = None) -> list[Net]:
        """Build the test nets.

        Parameters
        ----------
        conv_mode : str, optional
            Of every convolution, whatever the nets say.

        Raises
        ------
        SscaffeError
            If their numbers do not fit those of test_iter and test_state, or one of them cannot
            be built.
        """
        settings = self._settings
        sources: list[_Source] = [*settings.test_net_param, *settings.test_net]
        general = [name for name in ("net_param", "net") if settings.HasField(name)]
        rest = len(settings.test_iter) - len(sources)
        if rest < 0 or (rest and not general):
            raise PrototxtError(
                f"test_iter: expected {len(sources)}, one for each test net, "
                f"got {len(settings.test_iter)}"
            )
        sources += [getattr(settings, general[0])] * rest if general else []
        if any(batches < 1 for batches in settings.test_iter):
            raise PrototxtError(f"test_iter: expected 1 or more, got {min(settings.test_iter)}")
        states = list(settings.test_state) or [caffe_pb2.NetState() for _ in sources]
        if len(states) != len(sources):
            raise PrototxtError(
                f"test_state: expected {len(sources)}, one for each test net, or none, "
                f"got {len(states)}"
            )
        if sources and not settings.test_interval:
            raise PrototxtError("test_interval: expected 1 or more to go with test_iter, got 0")
        pairs = zip(sources, states, strict=True)
        return [self._make(net, TEST, state, conv_mode) for net, state in pairs]

    def _make(
        self, net: _Source, role: int, state: caffe_pb2.NetState, conv_mode: str | None = None
    ) -> Net:
        if isinstance(net, str):
            path = os.fspath(Path(self._root, net))
            param, source = read_net(path), path
        else:
            param, source = caffe_pb2.NetParameter(), self._source
            param.CopyFrom(net)
        if conv_mode is not None:
            set_conv_mode(param, conv_mode)
        # As in Caffe, what the net sets goes before its role, and what the solver sets before both.
        whole = caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(role))
        whole.MergeFrom(param.state)
        whole.MergeFrom(state)
        if role == TRAIN:
            self._team.share_out(param, whole)
        param.debug_info = param.debug_info or self._settings.debug_info
        if state.HasField("level"):
            param.state.level = state.level
        return Net(
            param,
            whole.phase,
            stages=state.stage,
            device=self._device,
            rng=self._rng,
            root=self._root,
            source=source,
            allow_python=self._allow_python,
        )


def share_weights(net: Net, others: Sequence[Net]) -> None:
    """Make the weights of a net those of others too."""
    for other in others:
        other.share_with(net)
