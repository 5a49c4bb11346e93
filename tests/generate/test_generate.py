"""Generated nets: sizes as published, files that load and train."""

import pytest

from sscaffe.errors import UnsupportedError
from sscaffe.generate import alexnet, caffenet, files_of, googlenet, resnet, squeezenet, vgg16
from sscaffe.layer import TEST, TRAIN
from sscaffe.net import Net
from sscaffe.prototxt import parse_net, parse_solver
from sscaffe.sparsity import block_size
from sscaffe.timing.inputs import stand_in_for_missing_data

MODELS = {
    "caffenet": caffenet(),
    "alexnet": alexnet(),
    "googlenet": googlenet(),
    "vgg16": vgg16(),
    "squeezenet 1.0": squeezenet("1.0"),
    "squeezenet 1.1": squeezenet("1.1"),
    "resnet20": resnet(3, learn_depth=True),
}

# As published; ResNet-20 as worked out by hand in test_resnet_size_by_hand.
SIZES = {
    "caffenet": 60_965_224,
    "alexnet": 60_965_224,
    "googlenet": 6_998_552,
    "vgg16": 138_357_544,
    "squeezenet 1.0": 1_248_424,
    "squeezenet 1.1": 1_235_496,
    "resnet20": 274_063,
}


def size(net):
    return sum(blob.count for layer in net.layers for blob in layer.blobs)


def load(text, phase):
    """Load a net with one image in a batch, whatever its data layers say."""
    param = parse_net(text)
    for layer in param.layer:
        if layer.type == "Data":
            layer.data_param.batch_size = 1
            layer.transform_param.crop_size = 0
    return Net(stand_in_for_missing_data(param, (3, 224, 224)), phase)


@pytest.mark.parametrize("name", MODELS)
def test_size(name):
    model = MODELS[name]
    text = files_of(model, "there")[f"{model.name}_deploy.prototxt"]
    with Net(parse_net(text), TEST) as net:
        assert size(net) == SIZES[name]


def test_resnet_size_by_hand():
    convolutions = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    shortcuts = 16 * 32 + 32 * 64
    # Each convolution's channels have a scale and a shift, a mean and a variance.
    channels = 16 * 7 + 32 * 7 + 64 * 7
    assert SIZES["resnet20"] == convolutions + shortcuts + 4 * channels + 21 + 64 * 10 + 10


def test_googlenet_has_two_more_losses_in_training():
    text = files_of(googlenet(), "there")["googlenet_train_val.prototxt"]
    with load(text, TRAIN) as net:
        assert size(net) == 6_998_552 + 6_379_728


@pytest.mark.parametrize("name", [name for name in MODELS if name != "vgg16"])
@pytest.mark.parametrize("phase", [TRAIN, TEST], ids=["TRAIN", "TEST"])
def test_every_net_loads(name, phase):
    for path, text in files_of(MODELS[name], "there").items():
        if path.endswith("_train_val.prototxt"):
            load(text, phase).close()


@pytest.mark.parametrize("name", MODELS)
def test_solvers_name_their_nets(name):
    files = files_of(MODELS[name], "there")
    solvers = [
        parse_solver(text) for path, text in files.items() if path.endswith("solver.prototxt")
    ]
    assert len(solvers) == 3
    assert {solver.net for solver in solvers} == {
        f"there/{path}" for path in files if path.endswith("_train_val.prototxt")
    }
    assert sorted(solver.block_group_decay > 0 for solver in solvers) == [False, False, True]


def test_learn_depth_groups_whole_convolutions_of_blocks_and_their_scales():
    text = files_of(resnet(3, learn_depth=True), "there")["resnet20_ssl_train_val.prototxt"]
    with load(text, TRAIN) as net:
        grouped = [p for p in net.learnable_params if p.spec.block_group_lasso]
        assert len(grouped) == 18 + 18
        assert sum(len(param.shape) == 1 for param in grouped) == 18
        for param in grouped:
            assert block_size(param, param.spec.block_group_lasso[0]) == param.matrix_shape


def test_without_learn_depth_there_is_only_the_baseline():
    assert sorted(files_of(resnet(5), "there")) == [
        "resnet32_deploy.prototxt",
        "resnet32_solver.prototxt",
        "resnet32_train_val.prototxt",
    ]


def test_schedules_shrink_with_the_iterations():
    files = files_of(resnet(3, learn_depth=True, iterations=1600), "there")
    steps = {
        path: (list(solver.stepvalue), solver.max_iter)
        for path, solver in ((p, parse_solver(t)) for p, t in files.items() if "solver" in p)
    }
    assert steps == {
        "resnet20_solver.prototxt": ([800, 1200], 1600),
        "resnet20_ssl_solver.prototxt": ([800, 1200], 1600),
        "resnet20_finetune_solver.prototxt": ([800, 1600], 2400),
    }


def test_refuses_what_there_is_not():
    with pytest.raises(UnsupportedError, match="iterations: expected at least 1, got 0"):
        resnet(iterations=0)
    with pytest.raises(UnsupportedError, match=r"version: expected 1\.0 or 1\.1, got '2'"):
        squeezenet("2")
    with pytest.raises(UnsupportedError, match="n: expected at least 1 block of each width, got 0"):
        resnet(0)
