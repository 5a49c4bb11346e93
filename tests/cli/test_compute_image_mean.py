"""sscaffe compute_image_mean: results, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from sscaffe.data.sources import LmdbSource
from sscaffe.data.transformer import read_mean
from tests.cli.test_bad_input import refused


def test_writes_the_mean_and_prints_that_of_each_channel(tiny, sscaffe):
    images, _ = LmdbSource(tiny / "digits_lmdb").read(24)
    expected = np.asarray(images).mean(axis=0)
    words = "compute_image_mean -backend=lmdb digits_lmdb mean.binaryproto"
    status, out, err = sscaffe(words)
    assert status == 0, err
    assert out.split()[-2:] == ["0", f"{expected.mean():.4g}"]
    assert f"mean_value channel [0]: {expected.mean():g}" in err
    np.testing.assert_allclose(read_mean(Path("mean.binaryproto")), expected, rtol=1e-6)
    refused(sscaffe(words), "compute_image_mean", "mean.binaryproto: is there already")
    status, out, _ = sscaffe(f"{words} --force --json")
    assert (status, json.loads(out)["shape"]) == (0, [1, 6, 6])


def test_writes_nothing_without_a_name(tiny, sscaffe):
    before = sorted(tiny.iterdir())
    assert sscaffe("compute_image_mean digits_lmdb")[0] == 0
    assert sorted(tiny.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("nosuch m", "source: there is no nosuch"),
        ("net.prototxt m", "source: expected the folder of an LMDB"),
        ("old m", "source: expected an LMDB, got the LevelDB old; make an LMDB"),
        ("digits_lmdb no/m", "no/m: there is no folder no"),
        ("-backend leveldb digits_lmdb m", "backend: expected lmdb, got leveldb"),
    ],
)
def test_refuses(tiny, sscaffe, words, pattern):
    (tiny / "old").mkdir()
    (tiny / "old" / "CURRENT").write_text("MANIFEST-000002\n")
    refused(sscaffe(f"compute_image_mean {words}"), "compute_image_mean", pattern)
    assert not (tiny / "m").exists()
