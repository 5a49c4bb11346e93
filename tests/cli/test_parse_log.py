"""sscaffe parse-log: tables of the log of a real training."""

import csv
import json

import pytest

from tests.cli.test_bad_input import refused


def rows(path, delimiter=","):
    with path.open() as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.fixture
def log(tiny, sscaffe):
    text = (tiny / "solver.prototxt").read_text() + "block_group_decay: 0.01\n"
    (tiny / "solver.prototxt").write_text(text)
    assert sscaffe("train -solver solver.prototxt -log train.log")[0] == 0
    (tiny / "tables").mkdir()
    return "train.log"


def test_writes_a_table_of_each_kind(tiny, log, sscaffe):
    status, out, err = sscaffe(f"parse-log {log} tables")
    assert status == 0, err
    assert "tables/train.log.sparsity" in out
    train, test = rows(tiny / "tables/train.log.train"), rows(tiny / "tables/train.log.test")
    assert [row["NumIters"] for row in train] == ["0", "5", "10", "15"]
    assert [row["NumIters"] for row in test] == ["0", "10", "20"]
    assert list(test[0]) == ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"]
    assert float(train[-1]["loss"]) < float(train[0]["loss"])
    assert {row["LearningRate"] for row in train} == {"0.05"}
    sparsity = rows(tiny / "tables/train.log.sparsity")
    assert "conv1 weight block(9,1)" in sparsity[0]


def test_does_not_replace_without_force(tiny, log, sscaffe):
    assert sscaffe(f"parse_log {log}")[0] == 0
    refused(sscaffe(f"parse_log {log}"), "parse_log", "train.log.train: is there already")
    status, out, _ = sscaffe(f"parse_log {log} --force --json --delimiter ;")
    assert status == 0
    assert [row["NumIters"] for row in json.loads(out)["test"]] == [0, 10, 20]
    assert len(rows(tiny / "train.log.test", ";")) == 3


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("nosuch.log", "nosuch.log: cannot be read"),
        ("solver.prototxt", "solver.prototxt: expected the log of a training"),
        ("digits_lmdb/data.mdb", "digits_lmdb/data.mdb: expected the log"),
        ("train.log no", "no/train.log.train: there is no folder no"),
        ("train.log --delimiter ab", "delimiter: expected one character, got 'ab'"),
    ],
)
def test_refuses(log, sscaffe, words, pattern):
    refused(sscaffe(f"parse_log {words}"), "parse_log", pattern)
