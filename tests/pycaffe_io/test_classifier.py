"""Classifier and Detector: images in, predictions out."""

import numpy as np
import pytest
from PIL import Image

from sscaffe import TEST, Net, ShapeError, UnsupportedError
from sscaffe.classifier import Classifier
from sscaffe.detector import Detector
from sscaffe.io import load_image, oversample, resize_image
from sscaffe.net_spec import NetSpec, layers as L


@pytest.fixture
def files(tmp_path):
    n = NetSpec()
    n.data = L.Input(shape={"dim": [4, 3, 8, 8]})
    n.ip = L.InnerProduct(n.data, num_output=5, weight_filler={"type": "gaussian", "std": 0.01})
    n.prob = L.Softmax(n.ip)
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    net = Net(tmp_path / "net.prototxt", TEST)
    net.save(tmp_path / "net.caffemodel")
    return str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")


@pytest.fixture
def images(rng):
    return [rng.random(shape).astype(np.float32) for shape in ((9, 11, 3), (8, 8, 3), (20, 12, 3))]


def by_hand(files, inputs):
    """Return the probabilities of inputs (H, W, K), one after the other."""
    net = Net(files[0], TEST, weights=files[1])
    found = []
    for image in inputs:
        net.blobs["data"].data[...] = 255 * image.transpose(2, 0, 1)[::-1]
        net.forward()
        found.append(net.blobs["prob"].data[0].copy())
    return np.array(found)


def test_the_middle(files, images):
    made = Classifier(*files, image_dims=(10, 12), raw_scale=255, channel_swap=(2, 1, 0))
    wanted = by_hand(files, [resize_image(i, (10, 12))[1:9, 2:10] for i in images])
    np.testing.assert_allclose(made.predict(images, oversample=False), wanted, rtol=1e-5)


def test_ten_crops_in_batches_of_four(files, images):
    made = Classifier(*files, image_dims=(10, 12), raw_scale=255, channel_swap=(2, 1, 0))
    crops = oversample([resize_image(i, (10, 12)) for i in images], (8, 8))
    wanted = by_hand(files, crops).reshape(3, 10, 5).mean(1)
    got = made.predict(images)
    assert got.shape == (3, 5)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert isinstance(made, Net)


def test_what_a_classifier_refuses(files, tmp_path, images):
    with pytest.raises(ValueError, match="image_dims: expected at least the 8 x 8"):
        Classifier(*files, image_dims=(7, 9))
    with pytest.raises(ValueError, match="expected at least one image"):
        Classifier(*files).predict([])
    flat = tmp_path / "flat.prototxt"
    flat.write_text("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 3 } } }")
    with pytest.raises(ShapeError, match=r"an input of shape \(N, C, H, W\), got \(3,\)"):
        Classifier(flat, None)


@pytest.fixture
def picture(tmp_path, rng):
    path = tmp_path / "a.png"
    Image.fromarray(rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)).save(path)
    return path


def test_windows(files, picture):
    made = Detector(*files, raw_scale=255, channel_swap=(2, 1, 0))
    windows = [(0, 0, 12, 9), (5, 8, 30, 40), (3, 3, 11, 11)]
    found = made.detect_windows([(picture, windows), (picture, windows[:2])])
    image = load_image(picture)
    cuts = [resize_image(image[a:c, b:d], (8, 8)) for a, b, c, d in windows]
    for one, window, wanted in zip(found, windows * 2, by_hand(files, cuts + cuts), strict=False):
        assert (one["filename"], one["window"]) == (picture, window)
        np.testing.assert_allclose(one["prediction"], wanted, rtol=1e-5)
    assert len(found) == 5
    assert made.detect_windows([]) == []


def test_surroundings(files, rng):
    mean = rng.random(3) * 255
    made = Detector(*files, mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)
    image = np.ones((40, 40, 3))
    image[10:20, 10:20] = 0
    inner = made.crop(image, (10, 10, 20, 20))
    assert inner.shape == (8, 8, 3)
    # The window of 10 pixels is the middle of 4; what is around it is on all four sides.
    assert inner[3:5, 3:5].max() < 1e-4  # smoothing reaches a little of it
    assert inner[0, 1:7].min() > 0.5
    corner = made.crop(np.ones((40, 40, 3)), (0, 0, 10, 10))
    np.testing.assert_allclose(corner[0, 0], mean[::-1] / 255, rtol=1e-6)
    np.testing.assert_array_equal(corner[:2], np.broadcast_to(corner[0, 0], (2, 8, 3)))
    # Beyond the middles of its outermost pixels an image fades to its lowest value, here 1 too.
    np.testing.assert_array_equal(corner[2:, 2:], 1)


def test_what_a_detector_refuses(files, picture):
    made = Detector(*files)
    for window in ((0, 0, 0, 5), (31, 0, 35, 5), (-3, 0, 5, 5)):
        with pytest.raises(ValueError, match="window: expected one within"):
            made.detect_windows([(picture, [window])])
    with pytest.raises(ValueError, match="a square input of more than 8 pixels, got 8 x 8"):
        made.configure_crop(4)
    with pytest.raises(UnsupportedError, match="selective_search_ijcv_with_python"):
        made.detect_selective_search([picture])
