"""The module itself: what it exports, its parts under the name caffe, its modes and logs."""

import importlib
import sys
from types import SimpleNamespace

import pytest

import sscaffe
from sscaffe import UnsupportedError
from tests.stopwatch import processor_seconds

NAMES = [
    "Net",
    "SGDSolver",
    "NesterovSolver",
    "AdaGradSolver",
    "RMSPropSolver",
    "AdaDeltaSolver",
    "AdamSolver",
    "NCCL",
    "Timer",
    "init_log",
    "log",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_device",
    "Layer",
    "get_solver",
    "layer_type_list",
    "set_random_seed",
    "solver_count",
    "set_solver_count",
    "solver_rank",
    "set_solver_rank",
    "set_multiprocess",
    "has_nccl",
    "__version__",
    "TRAIN",
    "TEST",
    "Classifier",
    "Detector",
    "io",
    "layers",
    "params",
    "NetSpec",
    "to_proto",
]
PARTS = [
    "io",
    "draw",
    "net_spec",
    "coord_map",
    "classifier",
    "detector",
    "pycaffe",
    "proto",
    "proto.caffe_pb2",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_pycaffe_is_there(caffe, name):
    assert getattr(caffe, name) is not None
    assert name in dir(caffe)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_caffe_is_the_part_of_sscaffe(caffe, part):
    mine = importlib.import_module(f"caffe.{part}")
    assert mine is importlib.import_module(f"sscaffe.{part}")
    assert mine.__spec__.name == f"sscaffe.{part}"


def test_caffe_is_sscaffe(caffe):
    from caffe import layers, params, to_proto  # noqa: F401
    from caffe.proto import caffe_pb2

    assert caffe is sscaffe
    assert caffe_pb2 is sscaffe.proto.caffe_pb2
    with pytest.raises(ModuleNotFoundError, match=r"caffe\.nothing"):
        importlib.import_module("caffe.nothing")


def test_phases_are_numbers(caffe):
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_standard_layers_are_listed(caffe):
    names = list(caffe.layer_type_list())
    assert {"Data", "Convolution", "InnerProduct", "Python", "LSTM"} <= set(names)
    assert names == sorted(names)


def test_import_is_quick():
    times = [processor_seconds([sys.executable, "-c", "import sscaffe"]) for _ in range(5)]
    assert min(times) < 0.3


def test_one_process_alone(caffe):
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(False)
    for call in (
        lambda: caffe.set_solver_count(2),
        lambda: caffe.set_solver_rank(1),
        lambda: caffe.set_multiprocess(True),
        lambda: caffe.NCCL(None, "uid"),
        lambda: caffe.NCCL.new_uid(),
    ):
        with pytest.raises(UnsupportedError, match="trains in one process"):
            call()


def test_a_gpu_that_is_not_there_is_refused(caffe, without_cupy):
    caffe.set_mode_cpu()
    for call in (caffe.set_mode_gpu, lambda: caffe.set_device(0)):
        with pytest.raises(UnsupportedError, match="gpu 0: CuPy cannot be imported"):
            call()


def test_timer(caffe, monkeypatch):
    now = [5.0]
    monkeypatch.setattr(caffe.pycaffe, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    timer = caffe.Timer()
    timer.start()
    now[0] += 0.25
    timer.stop()
    now[0] += 1
    assert timer.ms == 250


def test_log_goes_to_stderr(caffe, capfd):
    caffe.init_log()
    caffe.init_log(0)
    caffe.log("hello")
    caffe.init_log(2)
    caffe.log("unheard")
    err = capfd.readouterr().err
    assert err.count("] hello") == 1
    assert "unheard" not in err


@pytest.mark.parametrize("name", ["Net", "SGDSolver", "AdamSolver", "Layer", "get_solver", "Timer"])
def test_the_module_pycaffe_has_what_scripts_import_from_it(name):
    module = importlib.import_module("sscaffe.pycaffe")
    assert getattr(module, name) is getattr(sscaffe, name)


def test_the_module_pycaffe_knows_what_it_has_not():
    with pytest.raises(AttributeError, match="has no attribute 'Nett'"):
        importlib.import_module("sscaffe.pycaffe").Nett  # noqa: B018


@pytest.mark.gpu
def test_nets_compute_where_the_mode_says(caffe, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 } } }")
    assert caffe.Net(str(path), caffe.TEST).device.name == "cpu"
    caffe.set_device(0)
    assert caffe.Net(str(path), caffe.TEST).device.name == "cpu"
    try:
        caffe.set_mode_gpu()
        assert caffe.Net(str(path), caffe.TEST).device.name == "gpu:0"
    finally:
        caffe.set_mode_cpu()
    assert caffe.Net(str(path), caffe.TEST).device.name == "cpu"
