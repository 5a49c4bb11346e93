"""sscaffe data: the idx files of MNIST become databases."""

import json
import struct

import numpy as np

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.prototxt import parse_net

READER = """
layer {{ name: "d" type: "Data" top: "data" top: "label"
  data_param {{ source: "{}" backend: LMDB batch_size: 3 }} }}
"""


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def test_mnist(tmp_path, monkeypatch, sscaffe):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1701)
    images = {name: rng.integers(0, 256, (3, 4, 5), dtype=np.uint8) for name in ("train", "t10k")}
    for name, array in images.items():
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", array)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", np.array([7, 0, 9], np.uint8))
    status, out, _ = sscaffe("data mnist --from . --to made --json")
    assert status == 0
    assert json.loads(out)["made"] == [
        "made/mnist_mean.binaryproto",
        "made/mnist_test_lmdb",
        "made/mnist_train_lmdb",
    ]
    for name, database in (("train", "mnist_train_lmdb"), ("t10k", "mnist_test_lmdb")):
        with Net(parse_net(READER.format(f"made/{database}")), TEST) as net:
            net.forward()
            np.testing.assert_array_equal(net.blobs["data"].const_data[:, 0], images[name])
            np.testing.assert_array_equal(net.blobs["label"].const_data, [7, 0, 9])


def test_cifar10(tmp_path, monkeypatch, sscaffe):
    monkeypatch.chdir(tmp_path)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(bytes(3073))
    status, out, _ = sscaffe("data cifar10 --from . --to made --pad 4 --json")
    assert status == 0
    assert len(json.loads(out)["made"]) == 5
