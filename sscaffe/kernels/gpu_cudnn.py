"""Dense convolutions of cuDNN, through its Python front end: built once, timed, then run.

Plans differ in their last bits. The times of the first process are kept, so that the next one
chooses the same ones. Nothing else imports cudnn.
"""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import cudnn

from sscaffe import memo
from sscaffe.kernels.gpu_runtime import elapsed, library_lock, place, settings, xp

if TYPE_CHECKING:
    from sscaffe.geometry import ConvGeometry

Shape = tuple[int, ...]

_TRIES = 16  # plans that are timed, of those that the library's heuristic puts first
_ROUNDS = 3
_WORKSPACE = 1 << 30  # bytes at most


class Sizes(NamedTuple):
    """What a convolution computes; also the key by which plans are found again."""

    batch: int
    in_channels: int
    out_channels: int
    group: int
    input: Shape
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    output: Shape
    dtype: str
    tf32: bool

    @classmethod
    def of(cls, g: "ConvGeometry", batch: int, dtype: str) -> "Sizes":
        """Return those of a geometry; one spatial axis becomes two."""
        more = len(g.input) == 1
        one, none = ((1,), (0,)) if more else ((), ())
        return cls(
            batch,
            g.in_channels,
            g.out_channels,
            g.group,
            (*one, *g.input),
            (*one, *g.kernel),
            (*one, *g.stride),
            (*none, *g.pad),
            (*one, *g.dilation),
            (*one, *g.output),
            dtype,
            settings.allow_tf32,
        )

    @property
    def bottom(self) -> Shape:
        """The shape of the bottom."""
        return self.batch, self.in_channels, *self.input

    @property
    def weights(self) -> Shape:
        """The shape of the weights."""
        return self.out_channels, self.in_channels // self.group, *self.kernel

    @property
    def top(self) -> Shape:
        """The shape of the top."""
        return self.batch, self.out_channels, *self.output


class Plan:
    """One of the three products of a convolution, by the plan that was the fastest.

    Parameters
    ----------
    sizes : Sizes
        What it computes.
    kind : str
        ``fprop``, ``dgrad`` or ``wgrad``.

    Raises
    ------
    cudnn.cudnnGraphNotSupportedError
        If cuDNN has no plan for it.
    """

    def __init__(self, sizes: Sizes, kind: str) -> None:
        self._graph, self._uids = _describe(sizes, kind)
        shapes = {
            "fprop": (sizes.bottom, sizes.weights, sizes.top),
            "dgrad": (sizes.top, sizes.weights, sizes.bottom),
            "wgrad": (sizes.bottom, sizes.top, sizes.weights),
        }
        self._index, self._bytes = self._choose(sizes, kind, shapes[kind])

    @property
    def name(self) -> str:
        """What cuDNN calls the plan."""
        return self._name(self._index)

    def run(self, one: Any, other: Any, out: Any) -> None:
        """Multiply two arrays into a third one, on the current stream."""
        arrays = dict(zip(self._uids, (one.data.ptr, other.data.ptr, out.data.ptr), strict=True))
        with library_lock:
            handle, space = handle_of_stream(), workspace(self._bytes)
            self._graph.execute_plan_at_index(arrays, space.data.ptr, self._index, handle)

    def _choose(self, sizes: Sizes, kind: str, shapes: tuple[Shape, ...]) -> tuple[int, int]:
        """Return the plan that is or was the fastest, and its workspace."""
        key = f"cuDNN {version()}; {place()}; {kind}; {tuple(sizes)}"
        if (chosen := self._fastest(memo.recall(key))) is not None:
            return chosen
        times = self._measure(shapes, sizes.dtype)
        if (chosen := self._fastest(times)) is None:
            raise cudnn.cudnnGraphNotSupportedError("no plan")
        memo.remember(key, times)
        return chosen

    def _fastest(self, times: memo.Times | None) -> tuple[int, int] | None:
        """Return index and workspace of the best of plans that were timed, None without one."""
        if not times:
            return None
        best = min(times, key=lambda name: (times[name], name))
        indices = range(self._graph.get_execution_plan_count())
        built = ((index, self._build(index)) for index in indices if self._name(index) == best)
        return next(((index, size) for index, size in built if size is not None), None)

    def _measure(self, shapes: tuple[Shape, ...], dtype: str) -> memo.Times:
        """Time the plans that the heuristic puts first; return the times by name."""
        # Products of zeros may take another time.
        arrays = [xp.random.standard_normal(shape, dtype=dtype) for shape in shapes]
        found: memo.Times = {}
        for index in range(self._graph.get_execution_plan_count()):
            if len(found) == _TRIES:
                break
            name, size = self._name(index), self._build(index)
            if size is not None and name not in found:
                self._index, self._bytes = index, size
                self.run(*arrays)
                (found[name],) = elapsed([functools.partial(self.run, *arrays)], _ROUNDS)
        return found

    def _build(self, index: int) -> int | None:
        """Build a plan; return the size of its workspace, None where it cannot be had."""
        try:
            self._graph.build_plan_at_index(index)
            size = int(self._graph.get_workspace_size_plan_at_index(index))
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError):
            return None
        return size if size <= _WORKSPACE else None

    def _name(self, index: int) -> str:
        return str(self._graph.get_plan_name_at_index(index))


@functools.cache
def plan(sizes: Sizes, kind: str) -> Plan:
    """Return the plan of a product; layers of the same sizes share it."""
    return Plan(sizes, kind)


def version() -> str:
    """Return the version of the library behind the front end."""
    number = int(cudnn.backend_version())
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"


def _describe(sizes: Sizes, kind: str) -> tuple[Any, tuple[int, int, int]]:
    types = {"float32": cudnn.data_type.FLOAT, "float64": cudnn.data_type.DOUBLE}
    real = types[sizes.dtype]
    graph = cudnn.pygraph(
        handle=handle_of_stream(),
        io_data_type=real,
        intermediate_data_type=real,
        compute_data_type=real,
    )
    pad, stride, dilation = map(list, (sizes.pad, sizes.stride, sizes.dilation))
    window = {"pre_padding": pad, "post_padding": pad, "stride": stride, "dilation": dilation}

    def tensor(name: str, shape: Shape) -> Any:
        return graph.tensor(
            name=name, dim=list(shape), stride=list(_row_major(shape)), data_type=real
        )

    if kind == "fprop":
        one, other = tensor("x", sizes.bottom), tensor("w", sizes.weights)
        out, shape = graph.conv_fprop(image=one, weight=other, **window), sizes.top
    elif kind == "dgrad":
        one, other = tensor("dy", sizes.top), tensor("w", sizes.weights)
        out, shape = graph.conv_dgrad(loss=one, filter=other, **window), sizes.bottom
    else:
        one, other = tensor("x", sizes.bottom), tensor("dy", sizes.top)
        out, shape = graph.conv_wgrad(image=one, loss=other, **window), sizes.weights
    out.set_output(True).set_data_type(real).set_dim(list(shape)).set_stride(
        list(_row_major(shape))
    )
    _make_plans(graph, sizes, kind)
    return graph, (one.get_uid(), other.get_uid(), out.get_uid())


def _make_plans(graph: Any, sizes: Sizes, kind: str) -> None:
    """Let cuDNN list the plans of a graph that give the same bits each time, and full precision."""
    note = cudnn.numerical_note
    unwanted = [note.NONDETERMINISTIC, note.WINOGRAD_TILE_13x13]
    if not sizes.tf32:
        unwanted += [note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS]
    if kind == "wgrad":
        # Off by 1e-3 of the largest gradient for the first layer of LeNet, and no faster than FFT.
        unwanted += [note.WINOGRAD, note.WINOGRAD_TILE_4x4, note.WINOGRAD_TILE_6x6]
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.B, cudnn.heur_mode.FALLBACK])
    graph.deselect_numeric_notes(unwanted)
    graph.deselect_workspace_greater_than(_WORKSPACE)
    if kind == "wgrad":
        graph.deselect_engines(["eng17"])  # the same, whose notes do not always say so
    graph.check_support()


def _row_major(shape: Shape) -> Shape:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides))


@functools.cache
def _handle(device: int) -> Any:
    return cudnn.create_handle()


def handle_of_stream() -> Any:
    """Return cuDNN's handle for this device, set to the current stream."""
    handle = _handle(xp.cuda.runtime.getDevice())
    cudnn.set_stream(handle=handle, stream=xp.cuda.get_current_stream().ptr)
    return handle


_workspaces: dict[int, list[Any]] = {}


def workspace(size: int) -> Any:
    """Return scratch memory of `size` bytes or more, which all plans of a device share.

    They run one after the other. Smaller ones of before are kept: CUDA graphs may use them.
    """
    own = _workspaces.setdefault(xp.cuda.runtime.getDevice(), [])
    if not own or own[-1].nbytes < size:
        own.append(xp.empty(max(size, 1 << 20), "uint8"))
    return own[-1]
