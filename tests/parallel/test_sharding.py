"""Who reads what: the batches of all ranks together are those of one process."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from sscaffe import prototxt
from sscaffe.data import sources
from sscaffe.errors import UnsupportedError
from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.parallel import sharding
from sscaffe.parallel.world import World
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from tests.data.databases import make_lmdb, random_images

BATCH = 3
RECORDS = 17  # a prime: every batch wraps around somewhere else

DATA = """layer { name: "in" type: "Data" top: "data" top: "label"
  transform_param { mirror: true crop_size: 4 }
  data_param { source: "lmdb" backend: LMDB batch_size: %d rand_skip: 5 } }"""
IMAGES = """layer { name: "in" type: "ImageData" top: "data" top: "label"
  transform_param { mirror: true crop_size: 4 }
  image_data_param { source: "list" root_folder: "%s/" batch_size: %d shuffle: true } }"""
ROWS = """layer { name: "in" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "files" batch_size: %d shuffle: true } }"""
WINDOWS = """layer { name: "in" type: "WindowData" top: "data" top: "label"
  transform_param { mirror: true crop_size: 4 }
  window_data_param { source: "windows" root_folder: "%s/" batch_size: %d fg_fraction: 0.4 } }"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the same images in every form."""
    images = random_images(np.random.default_rng(1), RECORDS, (3, 6, 5))
    make_lmdb(tmp_path / "lmdb", images)
    lines, windows = [], []
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png {i}\n")
        windows.append(f"# {i}\n{i}.png\n3\n6\n5\n2\n{i + 1} 0.9 0 0 4 4\n{i + 1} 0.1 1 1 3 3\n")
    (tmp_path / "list").write_text("".join(lines))
    (tmp_path / "windows").write_text("".join(windows))
    for name, rows in (("a.h5", slice(0, 11)), ("b.h5", slice(11, RECORDS))):
        with h5py.File(tmp_path / name, "w") as file:
            file["data"] = images[rows].astype(np.float32)
            file["label"] = np.arange(RECORDS, dtype=np.float32)[rows]
    (tmp_path / "files").write_text(f"{tmp_path}/a.h5\n{tmp_path}/b.h5\n")
    return tmp_path


def open_net(folder, layer, batch=BATCH):
    values = (folder, batch) if layer.count("%") == 2 else batch
    param = prototxt.parse_net(layer % values)
    return Net(param, TRAIN, root=str(folder), rng=RandomNumbers(3))


class Rank(World):
    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def batches(net, count):
    found = []
    for _ in range(count):
        net.run_forward()
        found.append([net.blobs[name].data.copy() for name in ("data", "label")])
    return found


@pytest.mark.parametrize("layer", [DATA, IMAGES])
def test_more_records_than_there_are_get_a_warning(folder, layer, caplog):
    for rank in (1, 0):
        with open_net(folder, layer) as net:
            sharding.shard(net, Rank(rank, 5))
            sharding.shard(net, Rank(rank, 6))
    [record] = caplog.records
    words = "layer 'in': 6 ranks x batch 3 is more than the 17 records that there are"
    assert record.getMessage().startswith(words)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("layer", [DATA, IMAGES, ROWS, WINDOWS])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_read_the_batches_of_one_process(folder, monkeypatch, layer, kept, size):
    if not kept:
        monkeypatch.setattr(sources.LmdbSource.__init__, "__defaults__", (None, 0))
    with open_net(folder, layer) as net:
        alone = batches(net, 12 * size)
    for rank in range(size):
        with open_net(folder, layer) as net:
            sharding.shard(net, Rank(rank, size))
            mine = batches(net, 5)
            state = json.loads(json.dumps(net.layers[0].data_state()))
            mine += batches(net, 7)
            net.layers[0].restore_data_state(state)
            again = batches(net, 7)
        for got, expected in zip(mine, alone[rank::size], strict=True):
            assert_same(got, expected)
        for got, expected in zip(again, mine[5:], strict=True):
            assert_same(got, expected)


@pytest.mark.parametrize("layer", [DATA, IMAGES, ROWS])
def test_a_place_means_the_same_on_any_number_of_ranks(folder, layer):
    with open_net(folder, layer) as net:
        sharding.shard(net, Rank(1, 3))
        batches(net, 4)
        state = net.layers[0].data_state()
    with open_net(folder, layer) as net:
        batches(net, 12)
        expected = batches(net, 1)
        net.layers[0].restore_data_state(state)
        assert_same(batches(net, 1)[0], expected[0])


def test_a_large_batch_is_that_of_all_ranks(folder):
    with open_net(folder, DATA, 2 * BATCH) as net:
        alone = batches(net, 9)
    halves = []
    for rank in (0, 1):
        with open_net(folder, DATA) as net:
            sharding.shard(net, Rank(rank, 2))
            halves.append(batches(net, 9))
    for whole, first, second in zip(alone, *halves, strict=True):
        assert_same([np.concatenate(pair) for pair in zip(first, second, strict=True)], whole)


def test_a_python_layer_has_to_know_how(tmp_path, monkeypatch):
    (tmp_path / "own_data.py").write_text(
        "from sscaffe.layer import Layer\n"
        "class Own(Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(2)\n"
        "    def forward(self, bottom, top): top[0].data[...] = self.rank\n"
        "    def backward(self, *blobs): pass\n"
        "class Sharded(Own):\n"
        "    rank = 0\n"
        "    def shard(self, rank, size): self.rank = rank\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = 'layer { name: "in" type: "Python" top: "data" python_param { module: "own_data" %s } }'
    for name in ("Own", "Sharded"):
        param = prototxt.parse_net(text % f'layer: "{name}"')
        with Net(param, TRAIN, allow_python=True) as net:
            if name == "Own":
                with pytest.raises(UnsupportedError, match=r"'in'.* needs a method shard\(rank"):
                    sharding.shard(net, Rank(1, 2))
                continue
            sharding.shard(net, Rank(1, 2))
            net.run_forward()
            assert (net.blobs["data"].data == 1).all()


def test_ranks_do_not_write_to_one_file(folder):
    out = 'layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "label" '
    out += 'hdf5_output_param { file_name: "out.h5" } }'
    words = "'out': all 2 ranks would write to one file"
    with open_net(folder, DATA + out) as net, pytest.raises(UnsupportedError, match=words):
        sharding.shard(net, Rank(1, 2))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (DATA % 9, "expected a batch_size that 2 ranks can share, got 9 in layer 'in'"),
        (
            'layer { name: "in" type: "Input" top: "data" }',
            r"layer 'in' \(Input\) has no batch_size",
        ),
    ],
)
def test_batches_that_cannot_be_split(layer, words):
    with pytest.raises(UnsupportedError, match=words):
        sharding.split_batches(prototxt.parse_net(layer), caffe_pb2.NetState(), 2)


def test_only_batches_of_the_phase_are_split():
    test = (DATA % 7).replace('name: "in"', 'name: "in" include { phase: TEST }')
    param = prototxt.parse_net(test + DATA % 8)
    sharding.split_batches(param, caffe_pb2.NetState(phase=TRAIN), 4)
    assert [layer.data_param.batch_size for layer in param.layer] == [7, 2]
