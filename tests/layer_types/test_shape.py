"""Flatten, Reshape, Split, Silence: shapes by hand, arrays that are shared, gradients."""

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.testing import check_gradient
from tests.helpers import blob_of, make_layer, run_layer


def flatten(text=""):
    return make_layer(f"type: 'Flatten' flatten_param {{ {text} }}")


def reshape(text):
    return make_layer(f"type: 'Reshape' reshape_param {{ {text} }}")


def dims(*sizes):
    return "shape { " + " ".join(f"dim: {size}" for size in sizes) + " }"


class TestFlatten:
    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            ("", (2, 60)),
            ("axis: 2", (2, 3, 20)),
            ("axis: 0", (120,)),
            ("axis: -2", (2, 3, 20)),
            ("end_axis: 2", (2, 12, 5)),
            ("axis: 0 end_axis: -2", (24, 5)),
            ("axis: 1 end_axis: 1", (2, 3, 4, 5)),
        ],
    )
    def test_makes_one_axis(self, text, shape, rng):
        x = rng.standard_normal((2, 3, 4, 5))
        np.testing.assert_array_equal(run_layer(flatten(text), x), x.reshape(shape))

    def test_gradient(self, rng):
        check_gradient(flatten(), [rng.standard_normal((2, 3, 2))])

    def test_rejects_an_end_before_the_start(self):
        with pytest.raises(ShapeError, match=r"end_axis: expected axis 2 or later, got 1"):
            run_layer(flatten("axis: 2 end_axis: 1"), np.zeros((2, 3, 4)))

    def test_rejects_an_axis_that_is_not_there(self):
        with pytest.raises(ShapeError, match=r"^axis: expected -1 to 0 for 1 axes, got 1"):
            run_layer(flatten(), np.zeros(3))
        with pytest.raises(ShapeError, match=r"^end_axis: expected -2 to 1 for 2 axes, got 2"):
            run_layer(flatten("end_axis: 2"), np.zeros((2, 3)))


class TestReshape:
    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            (dims(4, 6), (4, 6)),
            (dims(0, -1), (2, 12)),
            (dims(-1, 2, 0), (3, 2, 4)),
            (f"{dims(2, 2)} axis: 2", (2, 3, 2, 2)),
            (f"{dims(2, 2)} axis: -2", (2, 3, 2, 2)),
            (f"{dims(-1)} axis: 1", (2, 12)),
            (f"{dims(0, 2, -1)} axis: 1", (2, 3, 2, 2)),
            (f"{dims(6)} axis: 0 num_axes: 2", (6, 4)),
            (f"{dims(3, 1)} axis: 1 num_axes: 1", (2, 3, 1, 4)),
            (f"{dims(1)} axis: 1 num_axes: 0", (2, 1, 3, 4)),
            (f"{dims(1, 1)} axis: -1", (2, 3, 4, 1, 1)),
            ("axis: 1 num_axes: 0", (2, 3, 4)),
        ],
    )
    def test_gives_another_shape(self, text, shape, rng):
        x = rng.standard_normal((2, 3, 4))
        np.testing.assert_array_equal(run_layer(reshape(text), x), x.reshape(shape))

    def test_gradient(self, rng):
        check_gradient(reshape(dims(-1, 2)), [rng.standard_normal((2, 3, 2))])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (dims(4, 5), r"shape: expected 24 elements as in .* \(2, 3, 4\), got \(4, 5\)"),
            (dims(-1, -1), r"shape: expected at most one -1"),
            (dims(-1, 7), r"shape: 24 elements do not divide by 7"),
            (dims(2, 3, 4, 0), r"shape: 0 at 3 has no axis of \(2, 3, 4\) to copy"),
            (dims(-4, -6), r"shape: expected sizes of 0 or more, got \(-4, -6\)"),
            (f"{dims(1)} axis: 4", r"axis: expected -4 to 3, got 4"),
            (f"{dims(1)} axis: -5", r"axis: expected -4 to 3, got -5"),
            (f"{dims(1)} axis: 2 num_axes: 2", r"num_axes: expected -1, or 0 to 1 after axis 2"),
            (f"{dims(1)} num_axes: -2", r"num_axes: expected -1, or 0 to 3 after axis 0, got -2"),
        ],
    )
    def test_rejects_what_does_not_fit(self, text, message):
        with pytest.raises(ShapeError, match=message):
            run_layer(reshape(text), np.zeros((2, 3, 4)))

    def test_a_bottom_without_elements(self):
        assert run_layer(reshape(dims(0, 6)), np.zeros((0, 2, 3))).shape == (0, 6)
        with pytest.raises(ShapeError, match=r"shape: 0 elements do not divide by 0"):
            run_layer(reshape(dims(0, -1)), np.zeros((0, 2, 3)))


@pytest.mark.parametrize(
    "text", ["type: 'Flatten'", f"type: 'Reshape' reshape_param {{ {dims(6)} }}"]
)
def test_data_and_diff_are_shared(text):
    bottom, top = [blob_of(np.zeros((1, 2, 3)))], [Blob((), np.float64)]
    layer = make_layer(text)
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    layer.backward(top, [False], bottom)
    assert bottom[0].diff_tensor is not top[0].diff_tensor
    layer.backward(top, [True], bottom)
    assert bottom[0].data_tensor is top[0].data_tensor
    assert bottom[0].diff_tensor is top[0].diff_tensor


def run_chain(layers, x, top_diff):
    """Run layers on top of each other forward and backward; return what they made."""
    blobs = [blob_of(x, np.float32)] + [Blob((), np.float32) for _ in layers]
    steps = list(zip(layers, blobs[:-1], blobs[1:], strict=True))
    for layer, bottom, top in steps:
        layer.setup([bottom], [top])
        layer.reshape([bottom], [top])
        layer.forward([bottom], [top])
    blobs[-1].set_diff(top_diff)
    for layer, bottom, top in reversed(steps):
        layer.backward([top], [True], [bottom])
    return [
        blobs[-1].host_data,
        blobs[0].host_diff,
        *(blob.host_diff for layer in layers for blob in layer.blobs),
    ]


def test_flatten_between_layers_that_keep_their_own_layouts(rng):
    """A convolution may leave channels in blocks; behind Flatten they are in Caffe's order."""

    def layers(middle):
        filler = "weight_filler { type: 'xavier' }"
        size = "num_output: 32 kernel_size: 3"
        texts = [
            f"type: 'Convolution' convolution_param {{ {size} {filler} }}",
            *middle,
            f"type: 'InnerProduct' inner_product_param {{ num_output: 5 {filler} }}",
        ]
        return [make_layer(text, dtype=np.float32) for text in texts]

    x, top_diff = rng.standard_normal((2, 16, 6, 6)), rng.standard_normal((2, 5))
    expected = run_chain(layers([]), x, top_diff)
    flatten, same = "type: 'Flatten'", "type: 'ReLU' relu_param { negative_slope: 1 }"
    for middle in ([flatten], [same, flatten], [flatten, same], [same, flatten, same]):
        got = run_chain(layers(middle), x, top_diff)
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


class TestSplit:
    @pytest.mark.parametrize("tops", [1, 2, 3, 4])
    def test_every_top_is_the_bottom(self, tops, rng):
        x = rng.standard_normal((2, 3))
        outputs = run_layer(make_layer("type: 'Split'"), x, tops=tops)
        for y in [outputs] if tops == 1 else outputs:
            np.testing.assert_array_equal(y, x)

    @pytest.mark.parametrize("tops", [1, 2, 3, 4])
    def test_gradient(self, tops, rng):
        check_gradient(make_layer("type: 'Split'"), [rng.standard_normal((2, 3))], num_top=tops)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_diffs_add_up_and_stay(self, dtype):
        layer = make_layer("type: 'Split'", dtype=dtype)
        bottom, top = [blob_of([0.0, 0.0], dtype)], [Blob((), dtype) for _ in range(3)]
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        for i, blob in enumerate(top):
            blob.set_diff([10.0**i, 1])
        for _ in range(2):
            layer.backward(top, [True], bottom)
            np.testing.assert_array_equal(bottom[0].host_diff, [111, 3])
        assert [float(blob.host_diff[0]) for blob in top] == [1, 10, 100]


class TestSilence:
    def test_sets_the_diffs_to_0(self):
        layer = make_layer("type: 'Silence'")
        bottom = [blob_of([1.0, 2.0]), blob_of([3.0])]
        for blob in bottom:
            blob.set_diff(5.0)
        layer.setup(bottom, [])
        layer.reshape(bottom, [])
        layer.forward(bottom, [])
        layer.backward([], [True, False], bottom)
        np.testing.assert_array_equal(bottom[0].host_diff, [0, 0])
        np.testing.assert_array_equal(bottom[1].host_diff, [5])
