"""Random weights, and zeros in them."""

import numpy as np


def make_zero(matrix, zeros, rng):
    """Set a part of a weight matrix to zero, in place.

    Parameters
    ----------
    matrix : ndarray
        The weights of one group, one row a filter.
    zeros : dict
        Parts from 0 to 1: of all "rows", of all "columns", or of all weights at "random".
    rng : Generator
        Chooses which.
    """
    rows, columns = matrix.shape
    matrix[rng.permutation(rows)[: round(zeros.get("rows", 0) * rows)]] = 0
    matrix[:, rng.permutation(columns)[: round(zeros.get("columns", 0) * columns)]] = 0
    if zeros.get("random"):
        matrix[rng.random(matrix.shape, dtype=np.float32) < zeros["random"]] = 0


def conv_weights(shape, group, zeros, rng):
    """Return weights of a convolution; the zeros are shared out alike among the groups."""
    matrix = rng.standard_normal((shape[0], int(np.prod(shape[1:]))), dtype=np.float32)
    matrix *= np.sqrt(2 / matrix.shape[1])
    for part in np.split(matrix, group):
        make_zero(part, zeros, rng)
    return matrix.reshape(shape)


def fill(net, zeros, rng):
    """Fill a net's blobs; convolutions get zeros."""
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            if layer.type == "BatchNorm":  # mean, variance, and the number both are multiples of
                values = rng.uniform(*((-0.1, 0.1), (0.5, 1.5), (1, 1))[i], blob.shape)
            elif i == 1:
                values = rng.uniform(-0.1, 0.1, blob.shape)
            elif layer.type == "Scale":
                values = rng.uniform(0.5, 1, blob.shape)
            elif layer.type == "Convolution":
                group = layer.layer_param.convolution_param.group
                values = conv_weights(blob.shape, group, zeros, rng)
            else:
                values = conv_weights(blob.shape, 1, {}, rng)
            blob.set_data(values)
