"""How each kind of golden case is run, and what of it is compared.

A runner is called in the folder of the case. It reports each comparison to a `Check`, under the
name of the part of the case that it belongs to.
"""

from contextlib import contextmanager

import h5py
import numpy as np

from sscaffe import prototxt
from sscaffe.errors import SscaffeError
from sscaffe.layer import REGISTRY, TEST, TRAIN
from sscaffe.net import Net
from sscaffe.random_numbers import RandomNumbers
from sscaffe.solver import Solver
from tests.golden_commands import compare_logs, run_cli, run_upgrade
from tests.golden_pycaffe import run_pycaffe
from tests.golden_snapshots import blob_of, compare_model, compare_state

PHASES = {"TRAIN": TRAIN, "TEST": TEST}


class Check:
    """Collects what differs, by the part of the case."""

    def __init__(self, case):
        self.rtol = case.get("tolerance", {}).get("rtol", 1e-5)
        self.atol = case.get("tolerance", {}).get("atol", 1e-5)
        self.failures = {}

    def close(self, part, what, got, expected):
        """Compare numbers within the case's tolerance."""
        got, expected = np.asarray(got), np.asarray(expected)
        if got.shape != expected.shape:
            self.fail(part, f"{what}: shape {got.shape}, expected {expected.shape}")
        elif not np.allclose(got, expected, self.rtol, self.atol, equal_nan=True):
            off = np.abs(got - expected)
            self.fail(part, f"{what}: differs by {np.nanmax(off):g} at most")

    def equal(self, part, what, got, expected):
        """Compare what has no tolerance."""
        if got != expected:
            self.fail(part, f"{what}: {got!r}, expected {expected!r}")

    def fail(self, part, text):
        self.failures.setdefault(part, []).append(text)

    @contextmanager
    def refusal(self):
        """Check that the block raises an error of ours, whose first line is one sentence."""
        try:
            yield
        except SscaffeError as error:
            text = str(error)
            assert text
            assert "\n" not in text, text
        else:
            self.fail("refusal", "expected an error")


class Case:
    """A recorded case: its description and its arrays."""

    def __init__(self, info, arrays):
        self.info, self._arrays = info, arrays

    def group(self, prefix):
        """Return the arrays under a prefix, by the rest of their names."""
        start = prefix + "/"
        return {k.removeprefix(start): v for k, v in self._arrays.items() if k.startswith(start)}

    def __getitem__(self, name):
        return self._arrays[name]

    def __contains__(self, name):
        return name in self._arrays


def missing_types(case_path):
    """Return the layer types of a case's net that are not built yet."""
    if case_path.parent.name in ("net_error", "upgrade", "cli", "pycaffe"):
        return []  # which may well name types that there are not, or have no net of this name
    param = prototxt.parse_net((case_path / "net.prototxt").read_text())
    return sorted({layer.type for layer in param.layer} - set(REGISTRY))


def run_layer(case, check):
    info = case.info
    rng = RandomNumbers(info.get("seed") or 1701)
    phase = PHASES[info.get("phase", "TEST")]
    net = Net("net.prototxt", phase, rng=rng, allow_python=True)
    _set_weights(net, case.group("param"))
    for name, array in case.group("in").items():
        net.blobs[name].set_data(array)
    for _ in range(info.get("forwards", 1)):
        net.forward()
    for name, array in case.group("out").items():
        check.close("out", name, net.blobs[name].host_data, array)
    for name, array in case.group("param_after").items():
        check.close("param_after", name, _weights(net, name), array)
    for name, array in case.group("topdiff").items():
        net.blobs[name].set_diff(array)
    net.clear_param_diffs()
    net.backward()
    # Without force_backward, the diff of an input is what the original left there by the way.
    forced = prototxt.read_net("net.prototxt").force_backward
    unknown = {*info.get("labels", ()), *([] if forced else net.inputs)}
    for name, array in case.group("indiff").items():
        if name not in unknown:
            check.close("indiff", name, net.blobs[name].host_diff, array)
    for name, array in case.group("paramdiff").items():
        check.close("paramdiff", name, blob_of(net, name).host_diff, array)


def run_solver(case, check, log):
    settings = prototxt.read_solver("solver.prototxt")
    settings.prune_threshold, settings.prune_scope = 1e-4, settings.ALL
    weights = "init.caffemodel" + (".h5" if "hdf5" in case.info["tags"] else "")
    if case.info["kind"] == "connectivity" and case.group("init"):
        settings.weights.append(weights)
    solver = Solver(settings)
    if "frozen_after_restore" in case.info:
        solver.restore("snap_iter_0.solverstate.h5")
    elif not case.group("init"):
        _set_weights(solver.net, {name: array[0] for name, array in case.group("weights").items()})
    for i in range(case.info["iters"]):
        _step(solver, case, check, i)
        if i == 3 and case.group("resumed"):
            solver.snapshot()
    for number, array in case.group("history").items():
        check.close("history", number, solver.history[int(number)].host_data, array)
    compare_logs(check, log(), case.info.get("log"))
    return solver


def _step(solver, case, check, i):
    """Run one iteration and compare gradients, updates, weights and loss."""
    for name, array in case.group("feed").items():
        solver.net.blobs[name].set_data(array[i])
    gradients = {}
    apply_update = type(solver).apply_update

    def note_gradients_first():
        names = case.group("grad")
        gradients.update({name: blob_of(solver.net, name).host_diff.copy() for name in names})
        apply_update(solver)

    solver.apply_update = note_gradients_first
    solver.step(1)
    for part, get in (
        ("grad", gradients.__getitem__),
        ("update", lambda name: blob_of(solver.net, name).host_diff),
    ):
        for name, array in case.group(part).items():
            check.close(part, f"{name} at {i}", get(name), array[i])
    for name, array in case.group("weights").items():
        check.close("weights", f"{name} at {i}", _weights(solver.net, name), array[i + 1])
    if "loss" in case:
        check.close("loss", f"at {i}", solver.smoothed_loss, case["loss"][i])


def run_snapshot(case, check, log):
    info = case.info
    solver = run_solver(case, check, log)
    state = next(name for name in info["files"] if "solverstate" in name)
    if case.group("resumed"):
        # From the recorded files, then from those that the run above has written.
        for name in (f"recorded/{state}", state):
            other = Solver(solver.param)
            other.restore(name)
            check.equal("state", "iter", other.iter, 4)
            for i in range(other.iter, info["iters"]):
                _step(other, case, check, i)
            for weight, array in case.group("resumed").items():
                check.close("resumed", f"{weight} from {name}", _weights(other.net, weight), array)
        return
    solver.snapshot()
    compare_state(case, check, state)
    model = next(name for name in info["files"] if "caffemodel" in name)
    compare_model(case, check, model)


def run_lr(case, check, log):
    solver = Solver("solver.prototxt")
    for i, rate in enumerate(case["lr"]):
        solver.step(1)
        # The gradient is 1 and there is no momentum, so the update is the rate.
        check.close("lr", f"at {i}", solver.net.params["p"][0].host_diff.item(), rate)
    case.info["log"] = [line.partition("] ")[2] for line in case.info["lr_log"]]
    compare_logs(check, [line for line in log() if "loss" not in line], case.info["log"])


def run_conv_mode(case, check):
    info = case.info
    if info.get("stale"):
        run_stale(case, check)
        return
    net = Net("net.prototxt", TEST)
    if "no_weights_loaded" in info["name"]:
        _set_weights(net, case.group("init"))
    else:
        net.copy_from("init.caffemodel")
    net.blobs["x"].set_data(case["in/x"])
    net.forward()
    # What the ancestor computes from stale or missing copies is not what the weights say.
    wanted = "ref/y" if info.get("status") == "informational" else "out/y"
    check.close("out", "y", net.blobs["y"].host_data, case[wanted])


def run_stale(case, check):
    net = Net("net.prototxt", TEST, weights="init.caffemodel")
    net.blobs["x"].set_data(case["in/x"])
    net.forward()
    check.close("out", "before", net.blobs["y"].host_data, case["out/before"])
    net.params["conv1"][0].data[...] = case["new_weights"]
    net.forward()
    sparse = net.blobs["y"].host_data.copy()
    param = prototxt.read_net("net.prototxt")
    param.layer[1].convolution_param.ClearField("conv_mode")
    dense = Net(param, TEST)
    dense.share_with(net)
    dense.blobs["x"].set_data(case["in/x"])
    dense.forward()
    check.close("out", "after", sparse, dense.blobs["y"].host_data)


def run_load(case, check):
    net = Net("net.prototxt", TEST)
    net.copy_from("w.caffemodel")
    for name, array in case.group("param").items():
        check.close("param", name, _weights(net, name), array)
    for name, array in case.group("in").items():
        net.blobs[name].set_data(array)
    net.forward()
    for name, array in case.group("out").items():
        check.close("out", name, net.blobs[name].host_data, array)


def run_data(case, check):
    info = case.info
    rng = RandomNumbers(info.get("seed") or 1701)
    net = Net("net.prototxt", PHASES[info["phase"]], rng=rng)
    for layer in net.layers:
        if layer.type == "MemoryData":
            layer.reset(case["feed/data"], case["feed/label"])
    written = read_rows("out.h5") if info["name"] == "hdf5_output" else {}
    outputs = {name: [] for name in case.group("out")}
    for i in range(info["forwards"]):
        for name in net.inputs:
            net.blobs[name].set_data(case[f"out/{name}"][i])
        net.forward()
        for name, values in outputs.items():
            values.append(net.blobs[name].host_data.copy())
    net.close()
    for name, array in case.group("out").items():
        check.close("out", name, np.stack(outputs[name]), array)
    for name, array in written.items():
        check.close("file", name, read_rows("out.h5")[name], array)


def read_rows(path):
    """Return the datasets of an HDF5 file."""
    with h5py.File(path) as file:
        return {name: dataset[()] for name, dataset in file.items()}


def run_net(case, check):
    for i, variant in enumerate(case.info["variants"]):
        net = Net(
            "net.prototxt",
            PHASES[variant["phase"]],
            level=variant["level"],
            stages=variant["stages"],
        )
        own = {
            "layers": net.layer_names,
            "types": [layer.type for layer in net.layers],
            "blobs": {name: list(blob.shape) for name, blob in net.blobs.items()},
            "bottom_ids": net.bottom_ids,
            "top_ids": net.top_ids,
            "inputs": net.inputs,
            "outputs": net.outputs,
            "loss_weights": list(net.blob_loss_weights.values()),
        }
        for name, value in own.items():
            check.equal("net", f"{name} of variant {i}", value, variant[name])


def run_filler(case, check):
    info = case.info
    net = Net("net.prototxt", TRAIN, rng=RandomNumbers(info["seed"]))
    (top,) = net.tops[0]
    check.close("at_setup", "top", top.host_data, case["at_setup"])
    net.forward()
    values, expected = top.host_data, case["after_forward"]
    if info["name"] in ("filler_gaussian", "filler_msra", "filler_msra_2d"):
        # NumPy draws other numbers of the same distribution; over n numbers, the standard error
        # of the mean is std / sqrt(n), that of the deviation std / sqrt(2 n).
        error = info["std"] / values.size**0.5
        check.equal("statistics", "shape", values.shape, expected.shape)
        check.equal("statistics", "mean", bool(abs(values.mean() - info["mean"]) < 6 * error), True)
        check.equal("statistics", "std", bool(abs(values.std() - info["std"]) < 5 * error), True)
    else:
        check.close("after_forward", "top", values, expected)


def run_refusal(case, check):
    kind = case.info["kind"]
    with check.refusal():
        if kind in ("solver", "ssl"):
            settings = prototxt.read_solver("solver.prototxt")
            settings.prune_threshold, settings.prune_scope = 1e-4, settings.ALL
            Solver(settings).step(1)
            return
        net = Net("net.prototxt", PHASES[case.info.get("phase", "TEST")])
        if kind == "load":
            net.copy_from("w.caffemodel")
        net.forward()
        net.backward()


RUNNERS = {
    "conv_mode": run_conv_mode,
    "data": run_data,
    "filler": run_filler,
    "layer": run_layer,
    "load": run_load,
    "net": run_net,
    "pycaffe": run_pycaffe,
}
LOGGED_RUNNERS = {
    "cli": run_cli,
    "connectivity": run_solver,
    "lr": run_lr,
    "snapshot": run_snapshot,
    "solver": run_solver,
    "ssl": run_solver,
    "upgrade": run_upgrade,
}


def _set_weights(net, arrays):
    for name, array in arrays.items():
        blob_of(net, name).set_data(array)


def _weights(net, name):
    return blob_of(net, name).host_data
