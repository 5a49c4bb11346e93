"""sscaffe report: what the page shows and needs, how it looks in a browser, what it refuses."""

import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sscaffe.report.charts import Series, chart, strips
from sscaffe.report.sections import front
from tests.cli.conftest import sscaffe, tiny  # noqa: F401
from tests.cli.test_bad_input import refused

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars"
FLAGS += " --disable-background-networking"
EMPTY = {"br", "meta", "img", "path", "rect"}


class _Checked(HTMLParser):
    """Checks that every element ends where it should, and collects what would be loaded."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def trial(number, score, flops, status="done"):
    row = {"number": number, "strength": 10.0 ** (number - 4), "status": status}
    return row | {"score": score, "flops": flops, "folder": f"trial_{number}", "reason": ""}


@pytest.fixture
def run(tiny, sscaffe):  # noqa: F811
    """Make the folder of a run: a training, its weights, timings of both kinds and a sweep."""
    status, _, err = sscaffe("train -solver solver.prototxt -log train.log")
    assert status == 0, err
    weights = "-weights tiny_iter_20.caffemodel -forward_only --json"
    for name, more in (("speed", "-iterations 2"), ("modes", "--compare -iterations 2")):
        words = f"time -model deploy.prototxt {weights} {more}"
        status, out, err = sscaffe(words)
        assert status == 0, err
        (tiny / f"{name}.json").write_text(out)
    trials = [trial(0, 0.99, 0.8), trial(1, 0.992, 0.5), trial(2, 0.95, 0.1)]
    trials.append(trial(3, None, None, "failed"))
    (tiny / "sweep.jsonl").write_text("\n".join(map(json.dumps, trials)) + "\n")
    (tiny / "other.json").write_text("[1, 2]")
    return tiny


def test_the_page_shows_all_and_needs_nothing(run, sscaffe):  # noqa: F811
    status, out, err = sscaffe("report . --json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["logs"], found["weights"], found["timings"], found["trials"]) == (1, 2, 2, 4)
    text = (run / "report.html").read_text()
    assert found["bytes"] == len(text.encode())
    checked = _Checked()
    checked.feed(text)
    assert checked.open == []
    assert len(checked.loads) == 2
    assert all(value.startswith("data:image/png;base64,") for value in checked.loads)
    for external in ("http:", "https:", "url(", "@import", "<script", "<link"):
        assert external not in text
    for words in ("Loss", "Test", "Learning rate", "Zero rows over time", "Sweep", "best mode"):
        assert words in text
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text


def test_a_log_alone_will_do(run, sscaffe):  # noqa: F811
    status, out, err = sscaffe("report train.log --out one.html --json")
    assert status == 0, err
    assert json.loads(out)["weights"] == 2  # the log names them
    assert "nan" not in re.sub(r"base64,[^\"]*", "", (run / "one.html").read_text()).lower()


def test_names_are_not_taken_for_markup(run, sscaffe):  # noqa: F811
    (run / "train.log").rename(run / "<b>&.log")
    assert sscaffe("report .")[0] == 0
    text = (run / "report.html").read_text()
    assert "&lt;b&gt;&amp;" in text
    checked = _Checked()
    checked.feed(text)
    assert checked.open == []


def test_the_front_is_what_no_other_trial_beats():
    trials = [trial(0, 0.9, 0.5), trial(1, 0.9, 0.4), trial(2, 0.8, 0.4), trial(3, 0.7, 0.1)]
    trials.append(trial(4, 0.7, 0.1))
    assert [t["number"] for t in front(trials)] == [1, 3, 4]


def test_a_chart_puts_points_where_they_belong():
    drawing = chart([Series("a", [0, 5, 7], [1.0, math.nan, 100.0])], label="y", log=True)
    path = re.search(r'class="line s0" d="([^"]*)"', drawing)[1]
    assert path == "M58.0 228.0M546.0 28.0"  # the corners; the gap is left open
    heights = {t: float(y) for y, t in re.findall(r'y="([\d.]+)"[^>]*>([\d.]+)<', drawing)}
    assert heights["10"] - 4 == pytest.approx(128)  # the middle, on a scale of ratios


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [math.nan, math.inf], [0.0, 0.0], []])
def test_a_chart_can_take_any_values(values):
    for log in (False, True):
        drawing = chart([Series("a", list(range(len(values))), values)], label="y", log=log)
        assert "nan" not in drawing
        assert "inf" not in drawing


def test_many_points_are_thinned_to_their_means():
    x = list(range(100_000))
    assert len(chart([Series("a", x, [float(v) for v in x])], label="y")) < 20_000


def test_strips_are_as_dark_as_the_share_of_zeros():
    drawing = strips([("conv1", [0.0, 50.0, 100.0])], [0, 10, 20])
    assert re.findall(r'fill-opacity="([\d.]+)"', drawing) == ["0.54", "1.00"]
    assert ">100.0 %<" in drawing


def screenshot(page, picture, width, dark, folder):
    words = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder}", f"--window-size={width},1500"]
    if dark:  # what a reader's setting does
        page.write_text(page.read_text().replace("(prefers-color-scheme:dark)", "screen"))
    words += [f"--screenshot={picture}", page.as_uri()]
    subprocess.run(words, check=True, capture_output=True, timeout=250)
    return np.asarray(Image.open(picture).convert("RGB")).astype(int)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.skipif(bool(os.environ.get("SSCAFFE_NO_BROWSER")), reason="SSCAFFE_NO_BROWSER is set")
@pytest.mark.parametrize("width", [520, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it(run, sscaffe, tmp_path, width, dark):  # noqa: F811
    assert sscaffe("report .")[0] == 0
    page = tmp_path / "report.html"
    pixels = screenshot(page, tmp_path / "shot.png", width, dark, tmp_path / "profile")
    assert pixels.shape[1] == width
    background = (20, 23, 27) if dark else (246, 244, 239)
    card = (29, 33, 38) if dark else (255, 255, 255)
    line = (88, 187, 220) if dark else (27, 111, 143)
    assert tuple(pixels[3, 3]) == background
    assert (pixels == card).all(axis=2).mean() > 0.4
    assert (abs(pixels - line).max(axis=2) < 12).sum() > 300  # lines and dots are drawn
    # Nothing sticks out of the page at the right.
    assert (pixels[:, -4:] == background).all()


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("nosuch", "nosuch: there is no such folder or log"),
        ("empty", "empty: expected the log of a training"),
        ("net.prototxt", "net.prototxt: expected the log of a training"),
        ("bad", r"bad/sweep.jsonl:1: expected a trial as JSON, got '\{'"),
        ("empty --out no/a.html", "no/a.html: there is no folder no"),
        ("empty --out net.prototxt", "net.prototxt: is there already"),
    ],
)
def test_refuses(tiny, sscaffe, words, pattern):  # noqa: F811
    (tiny / "empty").mkdir()
    (tiny / "bad").mkdir()
    (tiny / "bad" / "sweep.jsonl").write_text("{\n")
    refused(sscaffe(f"report {words}"), "report", pattern)
    assert not (tiny / "report.html").exists()
