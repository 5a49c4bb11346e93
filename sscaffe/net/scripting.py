"""What scripts do with a net, in pycaffe's words: names of layers and blobs, dicts of arrays."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from sscaffe import sparsity
from sscaffe.blob import Array, Blob, Param
from sscaffe.errors import ShapeError, SscaffeError, UnsupportedError
from sscaffe.layer import Layer
from sscaffe.net import batches, table
from sscaffe.net.hooks import Call, Hooks, require_callable
from sscaffe.net.private_names import PrivateNames
from sscaffe.proto import caffe_pb2

PathLike = str | os.PathLike[str]
_MODES = {
    "CONNECTED": caffe_pb2.LayerParameter.CONNECTED,
    "ELTWISE": caffe_pb2.LayerParameter.DISCONNECTED_ELTWISE,
    "GRPWISE": caffe_pb2.LayerParameter.DISCONNECTED_GRPWISE,
}


def old_order(weights: PathLike, phase: int) -> tuple[int, int, PathLike]:
    """Return phase, level and weights of ``Net(network_file, weights, phase)``, with a warning."""
    if str(weights).upper() in ("TEST", "TRAIN"):
        raise SscaffeError(f"phase: expected sscaffe.TEST or sscaffe.TRAIN, got {weights!r}")
    warnings.warn(
        "Net(network_file, weights, phase) is pycaffe's old order; write "
        "Net(network_file, phase, weights=weights)",
        DeprecationWarning,
        stacklevel=3,
    )
    return phase, 0, weights


class Scripting(PrivateNames):
    """The part of `sscaffe.Net` that pycaffe's scripts use; `Net` has the rest."""

    name: str
    phase: int
    layers: list[Layer]
    params: dict[str, list[Blob]]
    tops: list[list[Blob]]
    all_params: list[Param]
    weights_generation: int
    hooks: Hooks

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: Any,
    ) -> dict[str, Array]:
        """Run layers forward.

        Parameters
        ----------
        blobs : sequence of str, optional
            Blobs to return besides the outputs.
        start, end : str, optional
            The first and the last layer to run; all by default.
        inputs : array-like, by the name of an input blob
            What to fill the inputs with: for each input as many images as its blob has.

        Returns
        -------
        dict of str to ndarray of float32
            The data of the net's outputs, or of the tops of `end`, and of `blobs`: live arrays,
            which the next forward pass changes. See `run_forward` for the loss.

        Raises
        ------
        ShapeError
            If an input has another shape than its blob.
        SscaffeError
            If there is no such layer, blob or input, or a layer cannot run; a note says which.
        """
        if blobs is start is end is None and not inputs:
            self.run_forward()
            return {name: self.blobs[name].data for name in self.outputs}
        first = self._place("start", start, 0)
        last = self._place("end", end, len(self.layers) - 1)
        if first > last:
            raise SscaffeError(f"start: {start!r} comes after end, {end!r}; exchange them")
        wanted = self.outputs if end is None else self._names(self.top_ids[last])
        wanted = [*wanted, *self._known_blobs("blobs", blobs)]
        if inputs:
            self._fill(inputs, self.inputs, "data", "Input blob arguments do not match net inputs.")
        self.run_forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **outputs: Any,
    ) -> dict[str, Array]:
        """Run layers backward: set the diffs of blobs, add to those of parameters.

        Parameters
        ----------
        diffs : sequence of str, optional
            Blobs whose diff to return besides those of the inputs.
        start, end : str, optional
            The first and the last layer to run, from the back; all by default.
        outputs : array-like, by the name of an output blob
            The gradients to start from: for each output as many as its blob has.

        Returns
        -------
        dict of str to ndarray of float32
            The diff of the net's inputs, or of the bottoms of `end`, and of `diffs`: live arrays.

        Raises
        ------
        ShapeError
            If a gradient has another shape than its blob.
        SscaffeError
            If there is no such layer, blob or output, or a layer cannot run; a note says which.
        """
        first = self._place("start", start, len(self.layers) - 1)
        last = self._place("end", end, 0)
        if first < last:
            raise SscaffeError(
                f"start: {start!r} comes before end, {end!r}; a backward pass goes from the back"
            )
        wanted = self.inputs if end is None else self._names(self.bottom_ids[last])
        wanted = [*wanted, *self._known_blobs("diffs", diffs)]
        if outputs:
            self._fill(
                outputs, self.outputs, "diff", "Top diff arguments do not match net outputs."
            )
        self.run_backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> dict[str, Array]:
        """Run forward batch by batch, over any number of images.

        Parameters
        ----------
        blobs : sequence of str, optional
            Blobs to return besides the outputs.
        inputs : array-like, by the name of an input blob
            Images for each input, M of them. The last batch is filled up with zeros.

        Returns
        -------
        dict of str to ndarray of float32
            What `forward` returns, copied: M rows for blobs that have one for each image, else one
            for each batch.
        """
        count, parts = batches.count_of(inputs), []
        for batch in self._batch(inputs):
            parts.append(
                {name: a.copy() for name, a in self.forward(blobs, None, None, **batch).items()}
            )
        return batches.join(parts, self._batch_size(), count)

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **arrays: Any,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run forward and backward batch by batch, over any number of images.

        Parameters
        ----------
        blobs, diffs : sequence of str, optional
            Blobs whose data and diff to return besides those of outputs and inputs.
        arrays : array-like, by the name of an input or output blob
            Images for each input, and perhaps gradients for each output, M of them.

        Returns
        -------
        (dict of str to ndarray, dict of str to ndarray)
            Data and diffs, as `forward_all` returns them.
        """
        images = {name: array for name, array in arrays.items() if name in self.inputs}
        above = {name: array for name, array in arrays.items() if name not in self.inputs}
        count, data, gradients = batches.count_of(arrays), [], []
        backward = self._batch(above) if above else repeat({})
        for batch, gradient in zip(self._batch(images), backward, strict=False):
            ahead = self.forward(blobs, None, None, **batch)
            data.append({name: array.copy() for name, array in ahead.items()})
            back = self.backward(diffs, None, None, **gradient)
            gradients.append({name: array.copy() for name, array in back.items()})
        size = self._batch_size()
        return batches.join(data, size, count), batches.join(gradients, size, count)

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Give the net's first layer, of type MemoryData, its images and labels.

        Parameters
        ----------
        data : ndarray of float32, shape (M, C, H, W)
            M is a multiple of the batch size.
        labels : ndarray of float32, M elements

        Raises
        ------
        UnsupportedError
            If the first layer is of another type.
        ShapeError
            If the shapes do not fit the layer.
        """
        reset = getattr(self.layers[0], "reset", None)
        if self.layers[0].type != "MemoryData" or reset is None:
            raise UnsupportedError(
                "set_input_arrays: expected a MemoryData layer as the net's first, got "
                f"{self.layers[0].type} {self.layers[0].name!r}"
            )
        reset(data, labels)

    def before_forward(self, callback: Call) -> None:
        """Call a function with the number of each layer before it runs forward."""
        self._add_hook(self.hooks.before_forward, callback)

    def after_forward(self, callback: Call) -> None:
        """Call a function with the number of each layer after it ran forward."""
        self._add_hook(self.hooks.after_forward, callback)

    def before_backward(self, callback: Call) -> None:
        """Call a function with the number of each layer before it runs backward."""
        self._add_hook(self.hooks.before_backward, callback)

    def after_backward(self, callback: Call) -> None:
        """Call a function with the number of each layer after it ran backward."""
        self._add_hook(self.hooks.after_backward, callback)

    @property
    def layer_dict(self) -> dict[str, Layer]:
        """The layers by their names."""
        return dict(zip(self.layer_names, self.layers, strict=True))

    @property
    def bottom_names(self) -> dict[str, list[str]]:
        """The names of the bottoms of each layer."""
        return dict(zip(self.layer_names, map(self._names, self.bottom_ids), strict=True))

    @property
    def top_names(self) -> dict[str, list[str]]:
        """The names of the tops of each layer."""
        return dict(zip(self.layer_names, map(self._names, self.top_ids), strict=True))

    def sparsity(
        self, threshold: float = sparsity.ELEMENT_THRESHOLD
    ) -> dict[str, dict[str, float]]:
        """Return the per cent of zeros of the weights of each layer that has a weight matrix.

        Parameters
        ----------
        threshold : float
            The magnitude below which an element counts as zero; rows and columns are zero exactly.

        Returns
        -------
        dict of str to dict
            By the layer's name: ``element``, ``row`` and ``column``, from 0 to 100.
        """
        return {
            param.layer_name: sparsity.percentages(
                param.host_data.reshape(param.matrix_shape), threshold
            )
            for param in self.all_params
            if param.index == 0 and param.learns and len(param.shape) > 1
        }

    def disconnect(self, *layers: str, mode: str = "ELTWISE") -> None:
        """Let weights that are zero stay zero in training from now on.

        Parameters
        ----------
        layers : str
            The layers; by default all that are of type Convolution, Deconvolution or InnerProduct.
        mode : str
            ELTWISE freezes every weight that is zero, GRPWISE rows and columns that are all zero,
            CONNECTED frees them again: the connectivity_mode of the layers.

        Raises
        ------
        SscaffeError
            If there is no such layer or mode.
        """
        wanted = mode.removeprefix("DISCONNECTED_")
        if wanted not in _MODES:
            raise SscaffeError(f"mode: expected one of {', '.join(_MODES)}, got {mode!r}")
        places = [self._place("layers", name, 0) for name in layers] or [
            i for i, layer in enumerate(self.layers) if layer.type in table.WEIGHTED
        ]
        for place in places:
            self.layers[place].layer_param.connectivity_mode = _MODES[wanted]
        self.weights_generation += 1  # so that a solver looks at the weights anew

    def save_hdf5(self, path: PathLike) -> None:
        """Write the weights to an HDF5 file, whatever its name."""
        self.save(path, as_hdf5=True)

    def load_hdf5(self, path: PathLike) -> None:
        """Copy weights from an HDF5 file; see `copy_from`."""
        self.copy_from(path)

    def __repr__(self) -> str:
        return table.text(self)

    def _repr_html_(self) -> str:
        return table.html(self)

    def _batch(self, arrays: Mapping[str, Any]) -> Iterator[dict[str, Array]]:
        return batches.cut(arrays, self._batch_size())

    def _batch_size(self) -> int:
        shape = next(iter(self.blobs.values())).shape
        return shape[0] if shape else 1

    def _names(self, ids: Sequence[int]) -> list[str]:
        return [self.blob_names[i] for i in ids]

    def _place(self, what: str, name: str | None, default: int) -> int:
        """Return the number of a layer."""
        if name is None:
            return default
        if name not in self.layer_names:
            raise SscaffeError(
                f"{what}: the net has no layer {name!r}; it has {', '.join(self.layer_names)}"
            )
        return self.layer_names.index(name)

    def _known_blobs(self, what: str, names: Sequence[str] | None) -> Sequence[str]:
        names = [names] if isinstance(names, str) else names or ()
        for name in names:
            if name not in self.blobs:
                raise SscaffeError(
                    f"{what}: the net has no blob {name!r}; it has {', '.join(self.blobs)}"
                )
        return names

    def _fill(
        self, values: Mapping[str, Any], wanted: Sequence[str], part: str, mismatch: str
    ) -> None:
        """Fill data or diff of blobs, all of which have to be there."""
        if set(values) != set(wanted):
            raise SscaffeError(
                f"{mismatch} Expected {', '.join(wanted) or 'none'}, got {', '.join(values)}"
            )
        for name, value in values.items():
            blob, array = self.blobs[name], np.asarray(value)
            if not _fits(array.shape, blob.shape):
                kind = "Input" if part == "data" else "Diff"
                hint = "; reshape the blob, or use forward_all" if part == "data" else ""
                raise ShapeError(
                    f"{kind} is not batch sized: expected shape {blob.shape} for {name}, got "
                    f"{array.shape}{hint}"
                )
            # A shape such as (1, H, W) is spread over (1, 1, H, W), as in pycaffe.
            (blob.set_data if part == "data" else blob.set_diff)(blob.xp.asarray(array))

    def _add_hook(self, hooks: list[Call], callback: Call) -> None:
        require_callable(callback)
        self.run_singly()
        hooks.append(callback)

    # What `Net` has.

    def run_singly(self) -> None:
        """See `Net.run_singly`."""
        raise NotImplementedError

    def copy_from(self, path: PathLike) -> None:
        """See `Net.copy_from`."""
        raise NotImplementedError

    def save(self, path: PathLike, diff: bool = False, *, as_hdf5: bool | None = None) -> None:
        """See `Net.save`."""
        raise NotImplementedError


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Tell whether an array has as many images as a blob, and NumPy can spread it over the blob."""
    if given == wanted:
        return True
    if given[:1] != wanted[:1]:
        return False
    try:
        return np.broadcast_shapes(given, wanted) == wanted
    except ValueError:
        return False
