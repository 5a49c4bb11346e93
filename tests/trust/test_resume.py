"""Training goes on from any snapshot bit for bit, and the same seed makes the same files."""

import random
import re

import numpy as np
import pytest

from sscaffe.prototxt import parse_net
from sscaffe.solver import Solver
from sscaffe.solver.updates import RULES
from tests.solver.nets import MODES, assert_same, history_of, settings, weights_of
from tests.trust.jobs import digest, say, train

ITERATIONS = 12
PLACES = 20  # of all combinations together for each rule

IMAGES = """
layer { name: "digits" type: "ImageData" top: "data" top: "label"
  transform_param { mirror: true crop_size: 6 scale: 0.01 }
  image_data_param { source: "list.txt" batch_size: 3 shuffle: true is_color: false } }
"""
LMDB = """
layer { name: "digits" type: "Data" top: "data" top: "label"
  transform_param { mirror: true crop_size: 6 scale: 0.01 }
  data_param { source: "digits_lmdb" backend: LMDB batch_size: 3 } }
"""
HDF5 = """
layer { name: "digits" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "files.txt" batch_size: 3 shuffle: true } }
"""
REST = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" %s
  param { block_group_lasso { group: SHAPE } block_group_lasso { group: FILTER } }
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "drop1" type: "Dropout" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""

COMMON = """
snapshot: 1 weight_decay: 0.01 average_loss: 3 clip_gradients: 5
lr_policy: "inv" gamma: 0.1 power: 1
"""
SSL = {
    "none": "",
    "subgradient": "block_group_decay: 0.02",
    "proximal": "block_group_decay: 0.02 regularization_step: PROXIMAL",
    "warm-up": "block_group_decay: 0.02 lasso_warmup_iter: 8",
    "both": "block_group_decay: 0.02 regularization_step: PROXIMAL lasso_warmup_iter: 8",
    "iter_size": "iter_size: 3 block_group_decay: 0.02",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Make the same seven images in three forms; the last batch of an epoch is never full."""
    h5py, image = pytest.importorskip("h5py"), pytest.importorskip("PIL.Image")
    from sscaffe.data.datum import array_to_datum
    from sscaffe.data.lmdb_writer import write_lmdb

    folder = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(1701).integers(0, 255, (7, 1, 8, 8), dtype=np.uint8)
    for i, one in enumerate(images):
        image.fromarray(one[0]).save(folder / f"{i}.png")
    (folder / "list.txt").write_text("".join(f"{folder}/{i}.png {i % 3}\n" for i in range(7)))
    records = [(b"%d" % i, array_to_datum(x, i % 3)) for i, x in enumerate(images)]
    write_lmdb(folder / "digits_lmdb", [(k, v.SerializeToString()) for k, v in records])
    for name, part in (("a", slice(0, 4)), ("b", slice(4, 7))):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["data"] = images[part, :, 1:7, 1:7].astype(np.float32) / 100
            file["label"] = (np.arange(7) % 3)[part].astype(np.float32)
    (folder / "files.txt").write_text(f"{folder}/a.h5\n{folder}/b.h5\n")
    return folder


def make_zeros(solver):
    weights = solver.net.params["conv1"][0].data
    weights[0] = weights[:, 0, 1] = 0


def train_straight(param):
    """Train, with a snapshot of each iteration; return what there is in the end."""
    with Solver(param) as solver:
        make_zeros(solver)
        solver.snapshot()
        solver.step(ITERATIONS)
        return solver.smoothed_loss, weights_of(solver), history_of(solver)


def go_on(param, start):
    """Go on from the snapshot of an iteration."""
    with Solver(param) as solver:
        solver.restore(f"small_iter_{start}.solverstate")
        solver.step(ITERATIONS - start)
        return solver.smoothed_loss, weights_of(solver), history_of(solver)


CASES = [
    (source, mode, ssl)
    for mode in MODES
    for ssl in SSL
    for source in ("shuffled images", "LMDB", "shuffled HDF5")
]


@pytest.mark.parametrize("rule", RULES)
def test_training_goes_on_from_random_places_bit_for_bit(rule, data, monkeypatch):
    monkeypatch.chdir(data)
    sources = {"shuffled images": IMAGES, "LMDB": LMDB, "shuffled HDF5": HDF5}
    momentum = "" if rule in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    rng = random.Random(rule)
    # Every combination of mode and SSL is met once by each rule, and two more are drawn.
    cases = [(rng.choice(list(sources)), mode, ssl) for mode in MODES for ssl in SSL]
    cases += [rng.choice(CASES) for _ in range(PLACES - len(cases))]
    for source, mode, ssl in cases:
        net = parse_net(sources[source] + REST % MODES[mode])
        text = f'{COMMON} {SSL[ssl]} type: "{rule}" base_lr: 0.01 delta: 1e-4 {momentum}'
        param = settings(text, net)
        loss, weights, history = train_straight(param)
        place = rng.randrange(ITERATIONS)
        resumed = go_on(param, place)
        assert resumed[0] == loss, (rule, source, mode, ssl, place)
        assert_same(resumed[1], weights)
        assert_same(resumed[2], history)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_makes_the_same_files(job, threads):
    found = set()
    for _ in range(3):
        status, _, log = train(job, "--set", "max_iter=40", threads=threads)
        assert status == 0, log
        found.add(
            (digest(job / "small_iter_40.caffemodel"), digest(job / "small_iter_40.solverstate"))
        )
    assert len(found) == 1
    say(f"\n{threads} threads: 3 times {found.pop()[0][:16]}")


def test_a_seed_that_was_drawn_is_told_and_makes_the_same_files(job):
    flags = ("--set", "max_iter=20")
    first = train(job, *flags, "--set", "random_seed=-1")
    assert first[0] == 0
    whole = digest(job / "small_iter_20.caffemodel")
    seed = re.search(r"random_seed: (\d+)", first[2])[1]
    assert train(job, *flags, "--set", "random_seed=-1")[0] == 0
    assert digest(job / "small_iter_20.caffemodel") != whole
    assert train(job, *flags, "--set", f"random_seed={seed}")[0] == 0
    assert digest(job / "small_iter_20.caffemodel") == whole
