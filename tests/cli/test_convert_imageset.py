"""sscaffe convert_imageset: flags, results, and what it refuses."""

import json

import numpy as np
import pytest
from PIL import Image

from sscaffe.data.sources import LmdbSource
from tests.cli.test_bad_input import refused


@pytest.fixture
def listed(tmp_path, monkeypatch, rng):
    """Write ten images of one size, and list.txt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(10):
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"images/{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(10)))
    return tmp_path


def labels(path):
    return LmdbSource(path, keep=0).read(10)[1].tolist()


def test_makes_a_database(listed, sscaffe):
    words = "convert_imageset -resize_height=4 --resize-width 5 -gray images/ list.txt db --json"
    status, out, err = sscaffe(words)
    assert (status, json.loads(out)["shapes"]) == (0, [[1, 4, 5]]), err
    assert labels(listed / "db") == list(range(10))
    assert "A total of 10 images." in err
    assert "Processed 10 files." in err
    status, out, _ = sscaffe("convert_imageset images/ list.txt other")
    assert (status, "(3, 6, 8)" in out) == (0, True)


def test_shuffles_by_the_seed(listed, sscaffe):
    orders = []
    for number, seed in enumerate((5, 5, 6)):
        words = f"convert_imageset -shuffle -seed {seed} images/ list.txt db{number}"
        assert sscaffe(words)[0] == 0
        orders.append(labels(listed / f"db{number}"))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(10))


def test_does_not_replace_without_force(listed, sscaffe):
    assert sscaffe("convert_imageset images/ list.txt db")[0] == 0
    result = sscaffe("convert_imageset images/ list.txt db -shuffle")
    refused(result, "convert_imageset", "db: is there already; choose another name, or add --force")
    assert labels(listed / "db") == list(range(10))
    assert sscaffe("convert_imageset images/ list.txt db -shuffle --force")[0] == 0
    assert labels(listed / "db") != list(range(10))


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("images/ nosuch.txt db", "source: nosuch.txt cannot be read"),
        ("nosuch/ list.txt db", "source: nosuch/0.png cannot be read: No such file"),
        ("images/ list.txt no/such/db", "no/such/db: there is no folder no/such"),
        ("-resize_height 4 images/ list.txt db", "resize_height, resize_width: expected both"),
        ("-backend leveldb images/ list.txt db", "backend: expected lmdb, got leveldb"),
        ("-backend sqlite images/ list.txt db", "backend: expected lmdb, got 'sqlite'"),
        ("images/ list.txt list.txt --force", "list.txt: expected an LMDB or nothing"),
    ],
)
def test_refuses(listed, sscaffe, words, pattern):
    refused(sscaffe(f"convert_imageset {words}"), "convert_imageset", pattern)
    assert sorted(path.name for path in listed.iterdir()) == ["images", "list.txt"]


def test_flags_that_gflags_negates(listed, sscaffe):
    assert sscaffe("convert_imageset -shuffle -noshuffle images/ list.txt db")[0] == 0
