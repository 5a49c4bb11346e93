"""Net: a graph of layers that runs forward and backward."""

import os
import weakref
from collections.abc import Sequence
from threading import RLock
from types import TracebackType
from typing import Self

from sscaffe.blob import Blob, Param
from sscaffe.device import Device, default
from sscaffe.errors import UnsupportedError
from sscaffe.glog import logger
from sscaffe.layer import TEST, Layer
from sscaffe.net import weights as weights_io
from sscaffe.net.build import AUTOMATIC, Graph, Place, build, prepare_for
from sscaffe.net.hooks import Hooks
from sscaffe.net.passes import DevicePasses, Passes
from sscaffe.net.plan import Plan, Unit
from sscaffe.net.scripting import Scripting, old_order
from sscaffe.net.step import loss_weights
from sscaffe.net.ways import Ways
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_net
from sscaffe.random_numbers import RandomNumbers
from sscaffe.serialized import write_binary

PathLike = str | os.PathLike[str]


class Net(Passes, Scripting):
    """A net: its layers, their blobs and weights.

    Parameters
    ----------
    network_file : NetParameter or path-like
        The net as written, or the prototxt that holds it.
    phase : int
        TRAIN or TEST. In pycaffe's old order, weights come before it.
    level : int
        For the include and exclude rules of layers; 0 leaves the one that the net sets.
    stages : sequence of str
        For the same rules; they add to those that the net sets.
    weights : path-like or sequence of path-like, optional
        Files to copy weights from, in this order.
    device : Device, optional
        Where it computes; the CPU by default.
    rng : RandomNumbers, optional
        What fillers and dropout draw from; a new stream by default.
    root : str
        The folder that relative paths of data layers start from; the working directory by default.
    source : str
        The file that `network_file` came from, for errors.
    allow_python : bool
        Let layers of type Python run their code; a prototxt runs none otherwise.

    Attributes
    ----------
    name : str
        The name in the prototxt.
    phase : int
        TRAIN or TEST.
    param : NetParameter
        The layers of this phase, with the Split layers that were inserted.
    layers : list of Layer
        In the order in which they run; `layer_names` has their names.
    blobs : dict of str to Blob
        All blobs that have a name, in the order in which they are made.
    params : dict of str to list of Blob
        The blobs of each layer that has some.
    bottoms, tops : list of list of Blob
        Those of each layer; `bottom_ids` and `top_ids` are their numbers in `blob_names`.
    inputs, outputs : list of str
        The tops of Input layers, and the blobs that no layer reads.
    bottom_need_backward : list of list of bool
        For each layer and bottom, whether the backward pass sets its diff.
    layer_need_backward : list of bool
        For each layer, whether it runs backward.
    blob_loss_weights : dict of str to float
        The weight of each blob in the loss.
    learnable_params : list of Param
        The parameters in the order of the layers, shared ones once; `all_params` has those that
        share too.
    debug_info : bool
        Whether each pass logs the mean magnitude of every blob and parameter.
    weights_generation : int
        Grows whenever weights come from a file or another net.

    Raises
    ------
    SscaffeError
        If the net cannot be built; notes say which layer of which file is the cause.
    """

    def __init__(
        self,
        network_file: caffe_pb2.NetParameter | PathLike,
        phase: int | PathLike,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: PathLike | Sequence[PathLike] | None = None,
        *,
        device: Device | None = None,
        rng: RandomNumbers | None = None,
        root: str = "",
        source: str = "",
        allow_python: bool = False,
    ) -> None:
        if isinstance(phase, str | os.PathLike):
            phase, level, weights = old_order(phase, level)
        phase, stages = int(phase), [stages] if isinstance(stages, str) else stages or ()
        if isinstance(network_file, caffe_pb2.NetParameter):
            param, self.source = network_file, source
        else:
            param, self.source = read_net(network_file), source or os.fspath(network_file)
        self.phase = phase
        prepared = prepare_for(param, phase, level, stages, self.source)
        self._device = device or default()
        self._device.enter()
        place = Place(self._device, rng or RandomNumbers(), root, self.source, allow_python)
        self._graph = build(prepared, place)
        self._close = weakref.finalize(self, self._graph.close)
        self._describe(self._graph)
        self.weights_generation, self._shares_weights, self.hooks = 0, False, Hooks()
        self.lock = RLock()
        try:
            self._take_weights()
            for path in [weights] if isinstance(weights, str | os.PathLike) else weights or ():
                self.copy_from(path)
        except BaseException:
            self.close()
            raise

    def _describe(self, graph: Graph) -> None:
        steps = self._steps = graph.steps
        self.debug_info = graph.param.debug_info
        self._plan = Plan(steps, self.phase, singly=self.debug_info)
        self._ways: Ways | None = None
        self._device_passes = None if self._device.is_cpu else DevicePasses(self._device.kernels)
        self.param, self.name = graph.param, graph.param.name
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.layers: list[Layer] = [step.layer for step in steps]
        self.layer_names = [layer.name for layer in self.layers]
        self.blob_names = graph.blob_names
        named = zip(graph.blob_names, graph.blobs, strict=True)
        self.blobs: dict[str, Blob] = {name: blob for name, blob in named if name != AUTOMATIC}
        self.params = {layer.name: layer.blobs for layer in self.layers if layer.blobs}
        self.bottoms, self.tops = [s.bottom for s in steps], [s.top for s in steps]
        self.bottom_ids, self.top_ids = [s.bottom_ids for s in steps], [s.top_ids for s in steps]
        self.bottom_need_backward = [step.propagate_down for step in steps]
        self.layer_need_backward = [step.needs_backward for step in steps]
        self.blob_loss_weights = loss_weights(steps, self.blobs)
        self.learnable_params: list[Param] = graph.params.owners
        self.all_params: list[Param] = graph.params.all
        count = sum(param.blob.count for param in self.learnable_params)
        logger.info("Net %s: %d layers, %d parameters", self.name, len(steps), count)

    def _take_weights(self) -> None:
        """Move weights that came with the net's description into the layers."""
        if any(layer.blobs for layer in self.param.layer):
            weights_io.load_proto(self.param, self.params)
            self.weights_generation += 1
            for layer in self.param.layer:
                layer.ClearField("blobs")

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to 0, as before a batch."""
        for param in self.learnable_params:
            param.blob.clear_diff()

    def reshape(self) -> None:
        """Let each layer set the shapes of its tops, after inputs were reshaped.

        Raises
        ------
        ShapeError
            If a layer cannot take the new shape; a note says which.
        """
        # A reshape loses what layers keep. Where passes are recorded, only those that need it are
        # reshaped: many a script asks for it before each pass.
        if self._ways is None:
            self._reshape(self._device_passes is not None)
        else:
            self._ways.reshape(self._reshape)

    def _reshape(self, settles: bool) -> None:
        passes, changed = self._device_passes, False
        for step in self._steps:
            try:
                if settles and step.bottom:
                    changed |= step.settle()
                else:
                    step.reshape()
            except Exception as error:
                self._locate(error, step)
                raise
        if passes is not None and changed:
            passes.forget()

    def copy_from(self, path: PathLike) -> None:
        """Copy weights from a caffemodel, binary or HDF5, into the layers of the same names.

        Raises
        ------
        WeightsError
            If the file cannot be read or does not fit; then no weight was changed.
        """
        weights_io.load(path, self.params, self._graph.params.shared)
        self.weights_generation += 1

    def share_with(self, other: "Net") -> None:
        """Use the weights of another net, which are then those of both.

        Raises
        ------
        ShapeError
            If layers of one name differ in the shapes of their blobs.
        """
        weights_io.share(other.params, self.params)
        self._shares_weights = other._shares_weights = True
        self.weights_generation += 1

    @property
    def device(self) -> Device:
        """Where it computes."""
        return self._device

    def to_proto(self, diff: bool = False) -> caffe_pb2.NetParameter:
        """Return the net with its weights, and with `diff` their gradients too."""
        return weights_io.to_proto(self.param, [layer.blobs for layer in self.layers], diff)

    def save(self, path: PathLike, diff: bool = False, *, as_hdf5: bool | None = None) -> None:
        """Write the weights to a file.

        Parameters
        ----------
        path : path-like
            The file; what stood there is replaced, or left whole if anything goes wrong.
        diff : bool
            Write the gradients too.
        as_hdf5 : bool, optional
            Write HDF5; by default if the name ends in ``.h5``. Else it is a caffemodel.

        Raises
        ------
        SscaffeError
            If the file cannot be written.
        """
        if as_hdf5 if as_hdf5 is not None else os.fspath(path).endswith(".h5"):
            shared = self._graph.params.shared
            weights_io.save_hdf5(path, self.param, self.params, shared, diff)
        else:
            write_binary(path, self.to_proto(diff))

    def compact(self, keep: Sequence[str] = ()) -> None:
        """Make the net as small and as fast as it can be for forward passes alone.

        Layers that follow a convolution or inner product become part of it, blobs that are used one
        after the other share memory, and weights that a kernel holds in a form of its own (without
        their zeros, say) are dropped once it has made it, in the first forward pass.

        Parameters
        ----------
        keep : sequence of str
            Blobs to be read after a forward pass, besides the inputs and outputs. Reading another
            one raises UnsupportedError, as do weights that were dropped: save them before.

        Raises
        ------
        UnsupportedError
            If the net is not one for TEST, or has no such blob.
        """
        if self.phase != TEST:
            raise UnsupportedError("compact: a net in TRAIN needs all that it has; use phase TEST")
        if self.hooks:
            raise UnsupportedError(
                "compact: callbacks want each layer to run by itself; open the net anew for one"
            )
        keep = [keep] if isinstance(keep, str) else keep
        unknown = [name for name in keep if name not in self.blobs]
        if unknown:
            raise UnsupportedError(
                f"keep: the net has no blob {unknown[0]!r}; it has {', '.join(self.blobs)}"
            )
        kept = [self.blobs[name] for name in (*self.inputs, *self.outputs, *keep)]
        self._plan = Plan(self._steps, self.phase, kept)
        inputs = [self.blobs[name] for name in self.inputs]
        if self._device.is_cpu:
            self._ways = Ways(self.name, self._plan, self._steps, inputs, kept)

    @property
    def units(self) -> Sequence[Unit]:
        """What runs in a forward pass, in this order: single layers, and chains that run as one."""
        return self._plan.units

    def close(self) -> None:
        """Let go of the files and threads of data layers; a second time does nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
