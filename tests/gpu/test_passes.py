"""Nets and solvers on a GPU: as on the CPU, recorded, and without copies that nobody asked for."""

import numpy as np
import pytest

from sscaffe import prototxt
from sscaffe.device import cpu, gpu
from sscaffe.kernels import gpu_runtime
from sscaffe.net import Net
from sscaffe.random_numbers import RandomNumbers
from sscaffe.solver import Solver

pytestmark = pytest.mark.gpu

NET = """
layer { name: 'data' type: 'Input' top: 'data' top: 'label'
  input_param { shape { dim: 4 dim: 2 dim: 9 dim: 9 } shape { dim: 4 } } }
layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv' convolution_param {
  num_output: 6 kernel_size: 3 group: 2 bias_term: false weight_filler { type: 'xavier' } }
  param { breadth_decay_mult: 1 kernel_shape_decay_mult: 1 } }
layer { name: 'bn' type: 'BatchNorm' bottom: 'conv' top: 'bn' }
layer { name: 'relu' type: 'ReLU' bottom: 'bn' top: 'bn' }
layer { name: 'pool' type: 'Pooling' bottom: 'bn' top: 'pool'
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'pool' top: 'ip' inner_product_param {
  num_output: 5 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }
"""
SOLVER = """
base_lr: 0.05 lr_policy: 'step' gamma: 0.5 stepsize: 3 momentum: 0.9 weight_decay: 0.001
breadth_decay: 0.01 kernel_shape_decay: 0.01 random_seed: 3 max_iter: 12 display: 0
snapshot_after_train: false clip_gradients: 3
"""


def solver_on(device, rng, text=SOLVER):
    param = prototxt.parse_solver(text)
    param.net_param.CopyFrom(prototxt.parse_net(NET))
    solver = Solver(param, device=device)
    draw = np.random.default_rng(2)
    solver.net.blobs["data"].set_data(draw.standard_normal((4, 2, 9, 9)).astype(np.float32))
    solver.net.blobs["label"].set_data(draw.integers(0, 5, 4).astype(np.float32))
    return solver


@pytest.mark.parametrize("more", ["", "iter_size: 2", "type: 'Adam' momentum2: 0.99"])
def test_training_is_that_of_the_cpu(rng, more):
    solvers = [solver_on(device, rng, SOLVER + more) for device in (cpu(), gpu(0))]
    for _ in range(10):
        for solver in solvers:
            solver.step(1)
        one, other = solvers
        assert other.smoothed_loss == pytest.approx(one.smoothed_loss, rel=1e-4)
    for a, b in zip(solvers[0].net.learnable_params, solvers[1].net.learnable_params, strict=True):
        scale = max(1e-3, abs(a.host_data).max())
        np.testing.assert_allclose(b.host_data, a.host_data, rtol=0, atol=1e-4 * scale)


def test_a_step_copies_the_loss_alone(rng):
    solver = solver_on(gpu(0), rng, SOLVER.replace("'step'", "'fixed'"))
    solver.step(6)  # records the passes
    before = gpu_runtime.traffic.to_device, gpu_runtime.traffic.to_host
    solver.step(10)
    after = gpu_runtime.traffic.to_device, gpu_runtime.traffic.to_host
    assert (after[0] - before[0], after[1] - before[1]) == (0, 10)


def test_a_new_input_and_new_weights_are_seen_by_what_was_recorded(rng):
    nets = [
        Net(prototxt.parse_net(NET), 0, device=d, rng=RandomNumbers(3)) for d in (cpu(), gpu(0))
    ]
    for net in nets:
        net.blobs["label"].set_data(np.arange(4.0))
    for i in range(6):
        losses = []
        for net in nets:
            net.blobs["data"].data[...] = np.random.default_rng(i).standard_normal((4, 2, 9, 9))
            net.params["ip"][0].data[0] += 0.1
            net.clear_param_diffs()
            losses.append(net.forward_backward())
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_an_array_that_is_held_is_brought_up_to_date(rng):
    net = Net(prototxt.parse_net(NET), 0, device=gpu(0), rng=RandomNumbers(3))
    top = net.blobs["ip"].data
    image = net.blobs["data"].data
    seen = []
    for i in range(5):
        image[...] = i
        net.run_forward()
        seen.append(top.copy())
        np.testing.assert_array_equal(top, net.blobs["ip"].host_data)
    assert all(np.isfinite(values).all() for values in seen)


def test_the_first_phase_test_pass_after_an_update_sees_it(rng):
    nets = [
        Net(prototxt.parse_net(NET), 1, device=d, rng=RandomNumbers(3)) for d in (cpu(), gpu(0))
    ]
    for i in range(8):
        outputs = []
        for net in nets:
            net.blobs["data"].data[...] = 1 + np.arange(648).reshape(4, 2, 9, 9) % 7
            if i % 3 == 2:
                net.params["conv"][0].data[...] *= 0.5
            net.run_forward()
            outputs.append(net.blobs["ip"].host_data.copy())
        scale = abs(outputs[0]).max()
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=0, atol=1e-5 * scale)


def test_memory_comes_back_when_a_net_goes(rng):
    pool = gpu_runtime.xp.get_default_memory_pool()
    solver_on(gpu(0), rng).step(4)
    used = pool.used_bytes()
    for _ in range(3):
        solver_on(gpu(0), rng).step(4)
    assert pool.used_bytes() <= used + (1 << 20)


KEEPING = """
layer { name: 'data' type: 'Input' top: 'data' top: 'label'
  input_param { shape { dim: 4 dim: 5 } shape { dim: 4 dim: 3 } } }
layer { name: 'a' type: 'InnerProduct' bottom: 'data' top: 'a' inner_product_param {
  num_output: 6 weight_filler { type: 'xavier' } } }
layer { name: 'scale' type: 'Scale' bottom: 'a' top: 'a'
  scale_param { bias_term: true filler { type: 'gaussian' mean: 1 std: 0.3 } } }
layer { name: 'prelu' type: 'PReLU' bottom: 'a' top: 'a' }
layer { name: 'elu' type: 'ELU' bottom: 'a' top: 'elu' }
layer { name: 'ip' type: 'InnerProduct' bottom: 'elu' top: 'ip' inner_product_param {
  num_output: 3 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'EuclideanLoss' bottom: 'ip' bottom: 'label' top: 'loss' }
"""


@pytest.mark.parametrize("special", ["forward", "partial", "debug", "unclear"])
def test_passes_of_any_kind_and_order_give_the_gradients_of_the_cpu(special):
    param = prototxt.parse_net(KEEPING)
    nets = [Net(param, 0, device=d, rng=RandomNumbers(3)) for d in (cpu(), gpu(0))]
    draw = np.random.default_rng(2)
    end = len(nets[0].layers) - 1
    for kind in [*["both"] * 7, special, special, "both"] * 3:
        data = draw.standard_normal((4, 5)).astype(np.float32)
        label = draw.standard_normal((4, 3)).astype(np.float32)
        for net in nets:
            net.blobs["data"].set_data(data)
            net.blobs["label"].set_data(label)
            if kind != "unclear":
                net.clear_param_diffs()
            net.debug_info = kind == "debug"
            if kind == "partial":
                net.run_forward(0, 2)
                net.run_forward(3, end)
            else:
                net.run_forward()
            if kind != "forward":
                net.run_backward()
        for a, b in zip(nets[0].learnable_params, nets[1].learnable_params, strict=True):
            scale = max(1e-3, abs(a.blob.host_diff).max())
            np.testing.assert_allclose(
                b.blob.host_diff, a.blob.host_diff, rtol=0, atol=1e-4 * scale, err_msg=a.name
            )
