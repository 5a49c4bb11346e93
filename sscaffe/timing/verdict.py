"""What a comparison comes to, in a sentence."""

from collections.abc import Mapping

from sscaffe.timing.contest import LayerComparison, ModeTiming
from sscaffe.timing.spread import Spread

FEW = 5.0
"""Per cent of zeros that no kernel gains from."""


def of_layer(layer: LayerComparison) -> str:
    """Say which mode to use, and why."""
    dense = layer.timing(layer.field.dense)
    best = layer.timing(layer.best)
    assert best is not None
    if dense is None:
        return f"{layer.layer}: {layer.best}"
    if best is not dense:
        return f"{layer.layer}: {layer.best}, {_times(dense, best)} dense"
    return f"{layer.layer}: stays dense; {_why_dense(layer, dense)}"


def _times(slow: ModeTiming, fast: ModeTiming) -> str:
    return f"{slow.layer.median / fast.layer.median:.1f}x"


def _why_dense(layer: LayerComparison, dense: ModeTiming) -> str:
    if layer.zeros < FEW:
        return f"{layer.zeros:.0f} % zeros is too few" if layer.zeros >= 0.5 else "no zeros"
    kind = max(
        (layer.zero_rows, "zero rows"), (layer.zero_columns, "zero columns"), key=lambda k: k[0]
    )
    what = f"{kind[0]:.0f} % {kind[1]}" if kind[0] >= 0.5 else f"{layer.zeros:.0f} % zeros"
    baseline = (layer.field.dense, layer.field.lowered)
    rivals = [timing for timing in layer.modes if timing.mode not in baseline]
    if not rivals:
        return "it has no other mode"
    rival = min(rivals, key=lambda timing: timing.layer.median)
    ratio = dense.layer.median / rival.layer.median
    return f"{what} is too few ({rival.mode}: {ratio:.2f}x)"


def of_net(nets: Mapping[str, Spread], layers: list[LayerComparison]) -> str:
    """Say what the best modes give the net as a whole."""
    dense, lowered = nets["dense"].median, nets["LOWERED_GEMM"].median
    best = nets.get("best modes")
    over_lowered = f"{lowered / dense:.1f}x all LOWERED_GEMM ({lowered:.3g} ms)"
    if best is None:
        return f"whole net: stays dense; {dense:.3g} ms, {over_lowered}"
    changed = [layer for layer in layers if layer.best != layer.field.dense]
    count = f"{len(changed)} of {len(layers)} layers not dense"
    if best.median >= dense:
        return (
            f"whole net: stays dense; the best modes of its layers, {count}, took "
            f"{best.median:.3g} ms in all, dense {dense:.3g}"
        )
    return (
        f"whole net: {best.median:.3g} ms with the best modes, {count}: "
        f"{dense / best.median:.1f}x dense ({dense:.3g} ms), "
        f"{lowered / best.median:.1f}x all LOWERED_GEMM ({lowered:.3g} ms)"
    )
