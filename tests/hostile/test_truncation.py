"""A caffemodel that is cut short anywhere is refused, and leaves the weights as they were."""

import numpy as np
import pytest

from sscaffe.errors import WeightsError
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net
from tests.hostile.cases import DEPLOY

WIDE = DEPLOY.replace("num_output: 4", "num_output: 256")  # a caffemodel of 86 kB
FIRST, MORE = 4096, 1000


@pytest.fixture
def net():
    return Net(parse_net(WIDE), TEST)


def values(net):
    return [blob.const_data.copy() for blobs in net.params.values() for blob in blobs]


def test_a_caffemodel_cut_short(net, tmp_path):
    path = tmp_path / "w.caffemodel"
    net.save(path)
    content = path.read_bytes()
    assert len(content) > 10 * FIRST
    for blobs in net.params.values():
        for blob in blobs:
            blob.set_data(0.25)
    before = values(net)
    more = np.random.default_rng(1701).integers(FIRST, len(content), MORE)
    for size in [*range(FIRST), *more.tolist()]:
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError) as refusal:
            net.copy_from(path)
        notes = getattr(refusal.value, "__notes__", [])
        assert str(path) in "\n".join([str(refusal.value), *notes]), size
    for got, expected in zip(values(net), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    path.write_bytes(content)
    net.copy_from(path)
    assert any((a != b).any() for a, b in zip(values(net), before, strict=True))
