"""sscaffe draw: pictures of every kind, and what it refuses."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from sscaffe.layer import TEST
from sscaffe.net import Net
from tests.cli.test_bad_input import refused

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "dot": b"digraph"}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_draws(tiny, sscaffe, kind, direction):
    status, out, err = sscaffe(f"draw net.prototxt a.{kind} -rankdir {direction} --json")
    assert status == 0, err
    assert json.loads(out) == {"image": f"a.{kind}", "layers": 5, "boxes": 5}
    assert (tiny / f"a.{kind}").read_bytes().startswith(STARTS[kind])


def test_a_picture_has_the_colours_and_the_direction_of_the_net(tiny, sscaffe):
    for direction in ("TB", "LR"):
        words = f"draw_net net.prototxt {direction}.png --rankdir={direction} --phase TRAIN"
        assert sscaffe(words)[0] == 0
    tall, wide = (np.asarray(Image.open(tiny / f"{d}.png").convert("RGB")) for d in ("TB", "LR"))
    assert tall.shape[0] > tall.shape[1]
    assert wide.shape[0] < wide.shape[1]
    for colour in (0xD6E6F7, 0xFBE3C4, 0xF7D0D6, 0xF3F0C0):  # data, convolution, product, result
        pixels = (tall == [colour >> 16, colour >> 8 & 255, colour & 255]).all(axis=2)
        assert pixels.sum() > 500


def test_weights_colour_the_boxes(tiny, sscaffe):
    with Net("deploy.prototxt", TEST) as net:
        for name, blobs in net.params.items():
            blobs[0].data[:] = 0 if name == "conv1" else 1  # drawn ones may happen to be tiny
        net.save("w.caffemodel")
        net.save("w.caffemodel.h5")
    for name in ("w.caffemodel", "w.caffemodel.h5"):
        status, _, err = sscaffe(f"draw deploy.prototxt a.dot --force --weights {name}")
        assert status == 0, err
        text = (tiny / "a.dot").read_text()
        assert "4 x 9: 100.0 % zero" in text
        assert "3 x 64: 0.0 % zero" in text
        assert text.count('fillcolor="#2f8f80"') == text.count('fillcolor="#ffffff"') == 1
        assert sscaffe(f"draw deploy.prototxt a.png --force --weights {name}")[0] == 0


def test_names_are_not_taken_for_markup(tiny, sscaffe):
    text = (tiny / "deploy.prototxt").read_text().replace('"conv1"', r'"a<b> & $x_1$ \"q\""')
    (tiny / "deploy.prototxt").write_text(text)
    for kind in STARTS:
        status, _, err = sscaffe(f"draw deploy.prototxt a.{kind}")
        assert status == 0, err
    ElementTree.parse(tiny / "a.svg")
    assert "<b>a&lt;b&gt; &amp; $x_1$" in (tiny / "a.dot").read_text()


def test_does_not_replace_without_force(tiny, sscaffe):
    (tiny / "a.png").write_text("mine")
    refused(sscaffe("draw net.prototxt a.png"), "draw", "a.png: is there already")
    assert (tiny / "a.png").read_text() == "mine"
    assert sscaffe("draw net.prototxt a.png --force")[0] == 0


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("nosuch.prototxt a.png", "nosuch.prototxt: cannot be read"),
        ("net.prototxt a.jpg", "a.jpg: expected a name that ends in .png, .svg, .pdf, .dot"),
        ("net.prototxt a", "a: expected a name that ends in .png"),
        ("net.prototxt no/a.png", "no/a.png: there is no folder no"),
        ("net.prototxt a.png --rankdir XY", "rankdir: expected TB, BT, LR, RL, got 'XY'"),
        ("net.prototxt a.png --phase X", "phase: expected TRAIN, TEST, ALL, got X"),
        ("net.prototxt a.png --stage x", "level, stage: expected phase TRAIN or TEST"),
        ("empty.prototxt a.png", "a.png: expected a net with layers to draw, got none"),
        ("net.prototxt a.png --weights net.prototxt", "net.prototxt: expected a caffemodel"),
    ],
)
def test_refuses(tiny, sscaffe, words, pattern):
    (tiny / "empty.prototxt").write_text('name: "empty"')
    refused(sscaffe(f"draw {words}"), "draw", pattern)
    assert not (tiny / "a.png").exists()
