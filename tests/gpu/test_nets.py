"""What a user does with nets and solvers of a GPU between passes that are recorded."""

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.device import cpu, gpu
from sscaffe.net import Net
from sscaffe.random_numbers import RandomNumbers
from tests.gpu.test_passes import NET, SOLVER, solver_on

pytestmark = pytest.mark.gpu


def pair(phase):
    param = prototxt.parse_net(NET)
    return [Net(param, phase, device=d, rng=RandomNumbers(3)) for d in (cpu(), gpu(0))]


def fill(net, seed, batch=4):
    draw = np.random.default_rng(seed)
    net.blobs["data"].set_data(draw.standard_normal((batch, 2, 9, 9)).astype(np.float32))
    net.blobs["label"].set_data(draw.integers(0, 5, batch).astype(np.float32))


def close(one, other):
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * max(1, abs(one).max()))


def test_a_batch_that_changes_and_comes_back():
    nets = pair(0)
    for i, batch in enumerate([4] * 6 + [2] * 6 + [4] * 6 + [7]):
        losses = []
        for net in nets:
            net.blobs["data"].reshape(batch, 2, 9, 9)
            net.blobs["label"].reshape(batch)
            net.reshape()
            fill(net, i, batch)
            net.clear_param_diffs()
            losses.append(net.forward_backward())
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        for a, b in zip(nets[0].learnable_params, nets[1].learnable_params, strict=True):
            close(a.blob.host_diff, b.blob.host_diff)


def test_a_compact_net():
    nets = pair(1)
    for net in nets:
        fill(net, 0)
        net.run_forward()
        net.compact()
    for i in range(6):
        for net in nets:
            fill(net, i)
            net.run_forward()
        close(nets[0].blobs["loss"].host_data, nets[1].blobs["loss"].host_data)


def test_callbacks_that_come_after_passes_were_recorded():
    net, seen = pair(0)[1], []
    fill(net, 0)
    for _ in range(6):
        net.clear_param_diffs()
        before = net.forward_backward()
    net.after_forward(lambda name: seen.append(name))
    net.clear_param_diffs()
    assert net.forward_backward() == pytest.approx(before, rel=1e-6)
    assert len(seen) == len(net.layers)


def test_a_net_that_tests_sees_what_the_other_learned():
    train, test = (Net(prototxt.parse_net(NET), p, device=gpu(0)) for p in (0, 1))
    test.share_with(train)
    seen = []
    for i in range(8):
        fill(train, i)
        fill(test, 0)
        train.clear_param_diffs()
        train.forward_backward()
        for param in train.learnable_params:
            if param.learns:
                param.blob.data[...] -= 0.1 * param.blob.host_diff
        for _ in range(4):
            test.run_forward()
        seen.append(float(test.blobs["loss"].host_data))
        alone = Net(prototxt.parse_net(NET), 1, device=gpu(0))
        for name, blobs in train.params.items():
            for blob, other in zip(blobs, alone.params[name], strict=True):
                other.set_data(blob.host_data.copy())
        fill(alone, 0)
        assert seen[-1] == pytest.approx(alone.run_forward(), rel=1e-5)
    assert len(set(seen)) == len(seen)


def test_going_on_from_a_snapshot_gives_the_same_bits(rng, tmp_path):
    text = SOLVER + f"snapshot_prefix: '{tmp_path / 'net'}'"
    whole = solver_on(gpu(0), rng, text)
    whole.step(5)
    whole.snapshot()
    whole.step(7)
    again = solver_on(gpu(0), rng, text)
    again.restore(tmp_path / "net_iter_5.solverstate")
    again.step(7)
    for a, b in zip(whole.net.learnable_params, again.net.learnable_params, strict=True):
        np.testing.assert_array_equal(a.blob.host_data, b.blob.host_data)
