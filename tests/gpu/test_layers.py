"""Every layer type on the GPU: as on the CPU, and in a graph that is replayed."""

import numpy as np
import pytest

import sscaffe.errors
import sscaffe.layer_types
from sscaffe.blob import Blob
from sscaffe.device import cpu, gpu
from sscaffe.kernels import gpu_runtime
from sscaffe.kernels.gpu_runtime import traffic
from sscaffe.layer import REGISTRY, TEST, TRAIN
from sscaffe.proto import caffe_pb2
from tests.helpers import make_layer

pytestmark = pytest.mark.gpu

IMAGE = (2, 4, 6, 5)
FILLED = "weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"
FILLER = "filler { type: 'gaussian' }"
RECURRENT = f"recurrent_param {{ num_output: 3 {FILLED} }}"
CONT = [[1, 0], [1, 1], [1, 0], [1, 1]]  # the first goes on with the state of the pass before
REGIONS = [[0, 0, 0, 4, 3], [1, 1, 1, 3, 5], [0, 2, 2, 2, 2]]
PLACES = [[[[0, 3], [0, 7]]]]  # one is named twice


def labels(*shape, classes=4):
    return np.arange(np.prod(shape)).reshape(shape) * 3 % classes


# By type: the prototxt, and for each bottom a shape to be filled with random numbers, or values,
# which have no gradient.
CASES = {
    "AbsVal": ("", IMAGE),
    "Accuracy": ("accuracy_param { top_k: 2 ignore_label: 1 }", IMAGE, labels(2, 6, 5)),
    "ArgMax": ("argmax_param { axis: 1 out_max_val: true }", IMAGE),
    "Axpy": ("", (2, 4), IMAGE, IMAGE),
    "BNLL": ("", IMAGE),
    "BatchNorm": ("batch_norm_param { use_global_stats: false }", IMAGE),
    "BatchReindex": ("", IMAGE, labels(5, classes=2)),
    "Bias": (f"bias_param {{ {FILLER} }}", IMAGE),
    "Clip": ("clip_param { min: -0.5 max: 0.7 }", IMAGE),
    "Concat": ("concat_param { axis: 2 }", IMAGE, IMAGE, (2, 4, 1, 5)),
    "ContrastiveLoss": ("", (5, 3), (5, 3), labels(5, classes=2)),
    "Convolution": (
        f"convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 group: 2 {FILLED} }}",
        IMAGE,
    ),
    "ConvolutionDepthwise": (
        f"convolution_param {{ num_output: 4 kernel_size: 3 stride: 2 {FILLED} }}",
        IMAGE,
    ),
    "Crop": ("crop_param { offset: 1 }", IMAGE, np.zeros((2, 4, 3, 2))),
    "Deconvolution": (
        f"convolution_param {{ num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 {FILLED} }}",
        IMAGE,
    ),
    "DepthwiseConvolution": (
        f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLED} }}",
        IMAGE,
    ),
    "DetectionOutput": (
        "detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.5 top_k: 10 } }",
        np.linspace(-1, 1, 16).reshape(2, 8),
        np.linspace(0, 1, 8).reshape(2, 4),
        [[[0.1, 0.1, 0.5, 0.5, 0.2, 0.3, 0.9, 0.8], [0.1] * 8]],
    ),
    "DummyData": ("dummy_data_param { shape { dim: 3 } data_filler { value: 2 } }",),
    "ELU": ("elu_param { alpha: 0.5 }", IMAGE),
    "Eltwise": ("eltwise_param { operation: MAX }", IMAGE, IMAGE, IMAGE),
    "Embed": (f"embed_param {{ num_output: 3 input_dim: 4 {FILLED} }}", labels(7)),
    "EuclideanLoss": ("", IMAGE, IMAGE),
    "Exp": ("exp_param { base: 2 shift: 0.5 scale: 0.3 }", IMAGE),
    "Filter": ("", IMAGE, [0, 1]),
    "Flatten": ("", IMAGE),
    "HingeLoss": ("hinge_loss_param { norm: L2 }", (5, 4), labels(5)),
    "Im2col": ("convolution_param { kernel_size: 3 stride: 2 pad: 1 }", IMAGE),
    "InfogainLoss": (
        "loss_param { ignore_label: 1 }",
        IMAGE,
        labels(2, 6, 5),
        np.linspace(0, 1, 16).reshape(4, 4),
    ),
    "InnerProduct": (f"inner_product_param {{ num_output: 7 {FILLED} }}", IMAGE),
    "Input": ("input_param { shape { dim: 3 } }",),
    "Interp": ("interp_param { height: 9 width: 11 pad_beg: -1 }", IMAGE),
    "LRN": ("lrn_param { local_size: 3 alpha: 0.5 }", IMAGE),
    "LSTM": (RECURRENT, (4, 2, 3), CONT),
    "LSTMUnit": ("", (1, 2, 3), (1, 2, 12), [[0, 1]]),
    "Log": ("log_param { shift: 9 }", IMAGE),
    "MVN": ("", IMAGE),
    "MultinomialLogisticLoss": ("", (3, 4), labels(3)),
    "Normalize": ("", IMAGE),
    "PReLU": (f"prelu_param {{ {FILLER} }}", IMAGE),
    "PSROIPooling": (
        "psroi_pooling_param { spatial_scale: 1 output_dim: 1 group_size: 2 }",
        IMAGE,
        REGIONS,
    ),
    "Parameter": ("parameter_param { shape { dim: 3 } }",),
    "Permute": ("permute_param { order: 2 order: 0 }", IMAGE),
    "Pooling": ("pooling_param { kernel_size: 3 stride: 2 pad: 1 }", IMAGE),
    "Power": ("power_param { power: 3 scale: 2 shift: 0.5 }", IMAGE),
    "PriorBox": (
        "prior_box_param { min_size: 2 max_size: 4 aspect_ratio: 2 }",
        np.zeros(IMAGE),
        np.zeros((2, 3, 12, 10)),
    ),
    "RNN": (RECURRENT, (4, 2, 3), CONT),
    "ROIPooling": ("roi_pooling_param { pooled_h: 2 pooled_w: 2 }", IMAGE, REGIONS),
    "ReLU": ("relu_param { negative_slope: 0.1 }", IMAGE),
    "ReLU6": ("", IMAGE),
    "Reduction": ("reduction_param { operation: ASUM axis: 1 coeff: 2 }", IMAGE),
    "Reshape": ("reshape_param { shape { dim: 0 dim: -1 } }", IMAGE),
    "SPP": ("spp_param { pyramid_height: 2 }", IMAGE),
    "Scale": (f"scale_param {{ bias_term: true {FILLER} }}", IMAGE),
    "ShuffleChannel": ("shuffle_channel_param { group: 2 }", IMAGE),
    "Sigmoid": ("", IMAGE),
    "SigmoidCrossEntropyLoss": ("loss_param { ignore_label: 1 }", (5, 4), labels(5, 4, classes=2)),
    "Silence": ("", IMAGE),
    "Slice": ("slice_param { slice_point: 1 }", IMAGE),
    "SmoothL1Loss": ("", IMAGE, IMAGE, np.linspace(0, 1, 240).reshape(IMAGE)),
    "Softmax": ("", IMAGE),
    "SoftmaxWithLoss": ("loss_param { ignore_label: 1 }", IMAGE, labels(2, 6, 5)),
    "Sparsify": ("sparsify_param { thre: 0.2 coef: 0.1 }", IMAGE),
    "Split": ("", IMAGE),
    "Swish": ("", IMAGE),
    "SymmetricRectify": (
        "symmetric_rectify_param { thre_decay: 0.1 filler { value: 0.3 } }",
        IMAGE,
    ),
    "TanH": ("", IMAGE),
    "Threshold": ("threshold_param { threshold: 0.2 }", IMAGE),
    "Tile": ("tile_param { axis: 2 tiles: 3 }", IMAGE),
    "Upsample": ("upsample_param { scale: 2 }", (1, 1, 2, 2), PLACES),
}
# Types that the table has not, and why.
OTHERS = {
    "Data": "reads files; tests/layer_types on a GPU",
    "Dropout": "draws another stream than the CPU",
    "HDF5Data": "reads files; tests/layer_types on a GPU",
    "HDF5Output": "writes a file; tests/layer_types on a GPU",
    "ImageData": "reads files; tests/layer_types on a GPU",
    "MemoryData": "arrays of the program; tests/layer_types on a GPU",
    "Python": "the user's; below",
    "WindowData": "reads files; tests/layer_types on a GPU",
}
TOPS = {"Slice": 2, "Split": 2, "LSTMUnit": 2, "Silence": 0, "Accuracy": 2}
NO_GRADIENT = {"Accuracy", "ArgMax", "DetectionOutput", "Threshold"}
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
TYPES = sorted(name for name, kind in REGISTRY.items() if kind.__module__.startswith("sscaffe."))


def test_the_table_knows_every_type():
    assert sorted(CASES.keys() | OTHERS.keys()) == TYPES
    assert not CASES.keys() & OTHERS.keys()


class Running:
    """A layer of a case with its blobs."""

    def __init__(self, name, device, dtype):
        text, *inputs = CASES[name]
        self.layer = make_layer(
            f"name: 'x' type: '{name}' {text}",
            device,
            phase=TEST if name in NO_GRADIENT else TRAIN,
            dtype=dtype,
        )
        self.is_random = [isinstance(value, tuple) for value in inputs]
        self.bottom = []
        for value, is_random in zip(inputs, self.is_random, strict=True):
            self.bottom.append(Blob(value if is_random else np.shape(value), dtype, device))
            if not is_random:
                self.bottom[-1].set_data(np.asarray(value, dtype))
        self.top = [Blob((), dtype, device) for _ in range(TOPS.get(name, 1))]
        self.draw(0)
        self.layer.setup(self.bottom, self.top)
        self.layer.reshape(self.bottom, self.top)
        self.wanted = [name not in NO_GRADIENT and is_random for is_random in self.is_random]

    def draw(self, seed):
        rng = np.random.default_rng([seed, 7])
        for blob, is_random in zip(self.bottom, self.is_random, strict=True):
            if is_random:
                values = rng.standard_normal(blob.shape).astype(blob.dtype)
                positive = self.layer.type == "MultinomialLogisticLoss"
                blob.set_data(abs(values) + 0.1 if positive else values)

    def draw_top_diffs(self):
        rng = np.random.default_rng(8)
        for blob in self.top:
            blob.set_diff(np.asarray(rng.standard_normal(blob.shape), blob.dtype))
        if self.layer.is_loss:
            self.top[0].diff[...] = 0.7  # by way of the host, as the net does

    def run(self):
        self.layer.forward(self.bottom, self.top)
        for blob in self.layer.blobs:
            blob.clear_diff()
        if any(self.wanted) or (self.layer.blobs and self.top):
            self.layer.backward(self.top, self.wanted, self.bottom)

    def results(self):
        values = {f"top {i}": blob.host_data.copy() for i, blob in enumerate(self.top)}
        for i, (blob, wanted) in enumerate(zip(self.bottom, self.wanted, strict=True)):
            if wanted:
                values[f"bottom {i}"] = blob.host_diff.copy()
        for i, blob in enumerate(self.layer.blobs):
            values[f"blob {i}"] = blob.host_diff.copy()
            values[f"values of blob {i}"] = blob.host_data.copy()
        return values


def started(name, device, dtype):
    """Set a layer up, and run it once so that its tops have their shapes."""
    running = Running(name, device, dtype)
    running.layer.forward(running.bottom, running.top)
    running.draw_top_diffs()
    return running


def compare(got, expected, dtype):
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        scale = max(1, np.abs(values).max(initial=0))
        np.testing.assert_allclose(
            got[name], values, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=name
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_as_on_the_cpu(name, dtype):
    results = []
    for device in (cpu(), gpu(0)):
        running = started(name, device, dtype)
        running.run()
        running.draw(1)
        running.run()
        results.append(running.results())
    compare(results[1], results[0], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_a_graph_of_it_can_be_replayed(name, dtype):
    expected, running = started(name, cpu(), dtype), started(name, gpu(0), dtype)
    if running.layer.uses_host:
        pytest.skip("a layer that uses the host is in no graph")
    xp = gpu(0).xp
    for one in (expected, running):
        one.run()
    gpu_runtime.synchronize()  # Nothing else orders the stream below and the default one.
    stream = xp.cuda.Stream(non_blocking=True)
    with stream:
        running.run()
        for blob in (*running.bottom, *running.top, *running.layer.blobs):
            blob.const_data, blob.const_diff  # noqa: B018 - they are on the device from now on
        if running.layer.is_loss:
            running.top[0].host_diff  # noqa: B018
        stream.begin_capture()
        running.run()
        graph = stream.end_capture()
        for seed in (1, 2):
            running.draw(seed)
            for blob in running.bottom:
                blob.const_data  # noqa: B018
            graph.launch(stream)
            stream.synchronize()
    expected.run()
    for seed in (1, 2):
        expected.draw(seed)
        expected.run()
    compare(after_replay(running), expected.results(), dtype)


def after_replay(running):
    """Return the results, which the graph made behind the back of the tensors."""
    blobs = [*running.bottom, *running.top, *running.layer.blobs]
    for blob in blobs:
        for tensor in (blob.data_tensor, blob.diff_tensor):
            if tensor.has_device_array:
                tensor.overwrite()
    return running.results()


BAD = {
    "Accuracy": ("", (3, 4), [0, 4, 1]),
    "BatchReindex": ("", IMAGE, [2, 0]),
    "Embed": ("embed_param { num_output: 3 input_dim: 4 }", [4]),
    "HingeLoss": ("", (3, 4), [0, 4, 1]),
    "InfogainLoss": ("", (3, 4), [0, 4, 1], np.eye(4)),
    "MultinomialLogisticLoss": ("", (3, 4), [0, 4, 1]),
    "SoftmaxWithLoss": ("", (3, 4), [0, 4, 1]),
    "Upsample": ("", (1, 1, 1, 1), [[[[4]]]]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_label_makes_the_top_nan_and_is_explained_later(name, monkeypatch):
    monkeypatch.setitem(CASES, name, BAD[name])
    message = []
    for device in (cpu(), gpu(0)):
        with pytest.raises(sscaffe.errors.DataError) as error:  # noqa: PT012
            running = Running(name, device, "float32")
            running.layer.forward(running.bottom, running.top)
            assert np.isnan(running.top[0].host_data).all()
            running.layer.explain(running.bottom)
        message.append(str(error.value))
    assert message[0] == message[1]


def test_types_that_run_on_the_host():
    on_host = {name for name in TYPES if REGISTRY[name].runs_on_host}
    assert on_host == {"DetectionOutput", "Filter", "PSROIPooling", "Python", "ROIPooling"}


def test_layers_that_use_the_host_after_all():
    texts = {
        "type: 'ArgMax' argmax_param { top_k: 2 axis: 1 }": True,
        "type: 'ArgMax' argmax_param { top_k: 1 axis: 1 }": False,
        "type: 'Sparsify' sparsify_param { thre: 0.2 } display: true": True,
        "type: 'Pooling' pooling_param { pool: STOCHASTIC kernel_size: 2 }": True,
        "type: 'Pooling' pooling_param { pool: AVE kernel_size: 2 }": False,
        "type: 'SPP' spp_param { pool: STOCHASTIC pyramid_height: 1 }": True,
    }
    for text, uses_host in texts.items():
        layer = make_layer(text, gpu(0), phase=TRAIN)
        bottom, top = [Blob(IMAGE, np.float64, gpu(0))], [Blob((), np.float64, gpu(0))]
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        assert layer.uses_host == uses_host, text


def test_a_batch_of_data_is_copied_once():
    layer = make_layer(
        "type: 'MemoryData' memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }",
        gpu(0),
        dtype=np.float32,
    )
    top = [Blob((), np.float32, gpu(0)) for _ in range(2)]
    layer.setup([], top)
    images = np.arange(240, dtype=np.float32).reshape(4, 3, 4, 5)
    layer.reset(images, np.arange(4))
    layer.forward([], top)
    before = traffic.to_device, traffic.to_host
    for _ in range(3):
        values = [blob.const_data for blob in top]
    assert (traffic.to_device, traffic.to_host) == (before[0] + 2, before[1])
    np.testing.assert_array_equal(values[0].get(), images[:2])


def test_dropout_draws_anew_each_time_and_goes_backward_by_the_same_mask():
    layer = make_layer("name: 'd' type: 'Dropout'", gpu(0), phase=TRAIN, dtype=np.float32)
    bottom, top = [Blob((1000,), np.float32, gpu(0))], [Blob((), np.float32, gpu(0))]
    bottom[0].set_data(np.ones(1000, np.float32))
    layer.setup(bottom, top)
    masks = []
    for _ in range(2):
        layer.reshape(bottom, top)  # of the same shape: the stream goes on
        layer.forward(bottom, top)
        top[0].set_diff(np.full(1000, 3, np.float32))
        layer.backward(top, [True], bottom)
        masks.append(top[0].host_data.copy())
        np.testing.assert_array_equal(bottom[0].host_diff, 3 * masks[-1])
    assert set(masks[0]) == {0, 2}
    assert 400 < (masks[0] > 0).sum() < 600
    assert (masks[0] != masks[1]).any()


def test_a_net_copies_the_blobs_of_a_python_layer(tmp_path, monkeypatch):
    (tmp_path / "times_of_host.py").write_text(
        "import caffe, numpy as np\n"
        "class Times(caffe.Layer):\n"
        "    def setup(self, bottom, top):\n"
        "        self.blobs.add_blob(1)\n"
        "        self.blobs[0].data[...] = 3\n"
        "    def reshape(self, bottom, top):\n"
        "        top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top):\n"
        "        assert type(bottom[0].data) is np.ndarray\n"
        "        top[0].data[...] = self.blobs[0].data * bottom[0].data\n"
        "    def backward(self, top, propagate_down, bottom):\n"
        "        bottom[0].diff[...] = self.blobs[0].data * top[0].diff\n"
        "        self.blobs[0].diff[...] += (bottom[0].data * top[0].diff).sum()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    param = caffe_pb2.NetParameter(force_backward=True)
    param.layer.add(name="in", type="Input", top=["x"]).input_param.shape.add().dim.extend([2, 3])
    layer = param.layer.add(name="times", type="Python", bottom=["x"], top=["y"])
    layer.python_param.module, layer.python_param.layer = "times_of_host", "Times"
    from sscaffe.net import Net

    net = Net(param, TRAIN, device=gpu(0), allow_python=True)
    net.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    net.params["times"][0].data[...] = 2
    net.run_forward()
    np.testing.assert_array_equal(net.blobs["y"].host_data, [[2, 4, 6], [8, 10, 12]])
    net.blobs["y"].diff[...] = 1
    net.run_backward()
    np.testing.assert_array_equal(net.blobs["x"].host_diff, np.full((2, 3), 2))
    net.run_backward()
    np.testing.assert_array_equal(net.params["times"][0].host_diff, [42])
    assert net.params["times"][0].device is gpu(0)
