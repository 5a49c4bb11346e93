"""DetectionOutput: boxes and suppression by hand, and what it refuses."""

import logging

import numpy as np
import pytest

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from tests.helpers import blob_of, make_layer, run_layer

PRIORS = np.array([[0, 0, 0.4, 0.2], [0.1, 0, 0.5, 0.2], [0.6, 0.6, 0.8, 1], [0.6, 0.6, 0.8, 0.9]])
VARIANCES = np.tile([0.1, 0.1, 0.2, 0.2], (4, 1))


def detection(text):
    return make_layer(f"type: 'DetectionOutput' detection_output_param {{ {text} }}")


def detect(text, places, scores, priors=PRIORS, variances=VARIANCES):
    prior = np.stack([priors, variances]).reshape(1, 2, -1)
    batch = len(scores)
    inputs = [np.reshape(places, (batch, -1)), np.reshape(scores, (batch, -1)), prior]
    return run_layer(detection(text), *inputs)[0, 0]


NOWHERE = np.zeros((1, 4, 4))
SCORES = np.array([[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]]])


def test_what_overlaps_a_better_box_is_dropped():
    got = detect("num_classes: 2 nms_param { nms_threshold: 0.55 }", NOWHERE, SCORES)
    # Boxes 0 and 1 share 0.6 of their union, boxes 2 and 3 share 0.75.
    np.testing.assert_allclose(got[:, :3], [[0, 1, 0.9], [0, 1, 0.7]])
    np.testing.assert_allclose(got[:, 3:], PRIORS[[0, 2]])
    got = detect("num_classes: 2 nms_param { nms_threshold: 0.65 }", NOWHERE, SCORES)
    np.testing.assert_allclose(got[:, 2], [0.9, 0.8, 0.7])


def test_eta_lowers_the_threshold():
    text = "num_classes: 2 nms_param { nms_threshold: 0.7 eta: 0.8 }"
    np.testing.assert_allclose(detect(text, NOWHERE, SCORES)[:, 2], [0.9, 0.7])


def test_scores_that_count():
    text = "num_classes: 2 nms_param { nms_threshold: 1 %s } confidence_threshold: %g %s"
    every = detect(text % ("", 0.1, ""), NOWHERE, SCORES)
    np.testing.assert_allclose(every[:, 2], [0.9, 0.8, 0.7])
    np.testing.assert_allclose(
        detect(text % ("top_k: 2", 0, ""), NOWHERE, SCORES)[:, 2], [0.9, 0.8]
    )
    kept = detect(text % ("", 0, "background_label_id: -1 keep_top_k: 3"), NOWHERE, SCORES)
    # The best three of both classes, class by class.
    np.testing.assert_allclose(kept[:, 1:3], [[0, 0.9], [1, 0.9], [1, 0.8]])


def test_images_are_numbered_and_a_place_for_each_class():
    places = np.zeros((2, 4, 2, 4))
    places[1, :, 1, 0] = 1
    text = "num_classes: 2 share_location: false nms_param { nms_threshold: 0 } code_type: CORNER"
    got = detect(text, places, np.tile(SCORES, (2, 1, 1)))
    np.testing.assert_allclose(got[:, 0], [0, 0, 1, 1])
    np.testing.assert_allclose(got[:, 3], [0, 0.6, 0.1, 0.7])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("CORNER", [0.1, 0.1, 0.6, 0.4]),
        ("CORNER_SIZE", [0.04, 0.02, 0.48, 0.24]),
        (
            "CENTER_SIZE",
            [
                0.24 - 0.2 * np.exp(0.2),
                0.12 - 0.1 * np.exp(0.2),
                0.24 + 0.2 * np.exp(0.2),
                0.12 + 0.1 * np.exp(0.2),
            ],
        ),
    ],
)
@pytest.mark.parametrize("encoded", ["true", "false"])
def test_boxes_are_decoded(code, expected, encoded):
    text = f"num_classes: 2 code_type: {code} variance_encoded_in_target: {encoded}"
    places = VARIANCES[:1] if encoded == "true" else np.ones((1, 4))
    got = detect(text, places[None], [[[0, 1]]], PRIORS[:1], VARIANCES[:1])
    np.testing.assert_allclose(got[0, 3:], expected)


def test_nothing_found():
    text = "num_classes: 2 confidence_threshold: 2"
    got = detect(text, np.zeros((2, 4, 4)), np.tile(SCORES, (2, 1, 1)))
    np.testing.assert_array_equal(got, [[0] + [-1] * 6, [1] + [-1] * 6])


def test_files_that_are_not_written_are_told_of(caplog):
    caplog.set_level(logging.WARNING, "sscaffe")
    detection("num_classes: 2 save_output_param { output_directory: 'x' }")
    (message,) = caplog.messages
    assert message.startswith("save_output_param: not supported; the field of layer ''")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "num_classes: expected 1 or more, got 0"),
        ("num_classes: 2 nms_param { nms_threshold: -1 }", "nms_threshold: expected 0 or more"),
        ("num_classes: 2 nms_param { eta: 0 }", "eta: expected more than 0, up to 1"),
        ("num_classes: 3", "bottom 1: expected 12 values for each image, with 4 priors"),
        ("num_classes: 2 share_location: false", "bottom 0: expected 32 values for each image"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ShapeError, match=message):
        detect(text, NOWHERE, SCORES)


def test_there_is_no_gradient():
    layer = detection("num_classes: 2")
    bottom = [blob_of(np.zeros((1, 4))), blob_of(np.zeros((1, 2))), blob_of(np.zeros((1, 2, 4)))]
    with pytest.raises(UnsupportedError, match="DetectionOutput has no gradient"):
        layer.backward([Blob((1, 1, 1, 7))], [True, False, False], bottom)
