"""Slow, plain answers to compare fast code with."""

import numpy as np


def convolution(x, weights, bias, geometry):
    """Convolve images (N, C, *input) one output element at a time, in float64."""
    g = geometry
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in g.pad)])
    out = np.zeros((len(x), g.out_channels, *g.output))
    channels, filters = g.in_channels // g.group, g.out_channels // g.group
    for n, o, *position in np.ndindex(out.shape):
        first = o // filters * channels
        window = [n, slice(first, first + channels)]
        for p, k, s, d in zip(position, g.kernel, g.stride, g.dilation, strict=True):
            window.append(slice(p * s, p * s + d * (k - 1) + 1, d))
        out[(n, o, *position)] = (x[tuple(window)] * weights[o]).sum()
    if bias is not None:
        out += bias.reshape(-1, *[1] * len(g.output))
    return out
