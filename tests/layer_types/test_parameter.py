"""Parameter: what comes out is the blob, what comes back is its gradient."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import SscaffeError
from tests.helpers import make_layer
from tests.net.layers import make_net


def test_puts_out_its_blob_and_takes_its_gradient():
    layer = make_layer("type: 'Parameter' parameter_param { shape { dim: 2 dim: 3 } }")
    top = [Blob((), np.float64)]
    layer.setup([], top)
    layer.reshape([], top)
    layer.blobs[0].set_data(np.arange(6).reshape(2, 3))
    layer.forward([], top)
    np.testing.assert_array_equal(top[0].host_data, [[0, 1, 2], [3, 4, 5]])
    layer.blobs[0].set_diff(1)
    top[0].set_diff(np.arange(6).reshape(2, 3))
    layer.backward(top, [], [])
    np.testing.assert_array_equal(layer.blobs[0].host_diff, [[1, 2, 3], [4, 5, 6]])


def test_has_no_bottom_and_one_top():
    net = "layer { name: 'p' type: 'Parameter' top: 'p' top: 'q' parameter_param { shape { } } }"
    with pytest.raises(SscaffeError, match="top: expected 1 for a layer of type Parameter, got 2"):
        make_net(net)
