"""parse_training_log: logs of Caffe, of its sparse fork, and of sscaffe."""

import pytest

from sscaffe.training_log import columns, parse_training_log

# As Caffe 1.0 writes it; the learning rate of an iteration comes last.
CAFFE = """\
Log file created at: 2017/12/31 23:59:50
I1231 23:59:55.000000  4711 caffe.cpp:218] Using CPU
I1231 23:59:58.500000  4711 solver.cpp:273] Solving net
I1231 23:59:58.500000  4711 solver.cpp:274] Learning Rate Policy: step
I1231 23:59:58.600000  4711 solver.cpp:331] Iteration 0, Testing net (#0)
I1231 23:59:59.000000  4711 solver.cpp:398]     Test net output #0: accuracy = 0.1
I1231 23:59:59.000000  4711 solver.cpp:398]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I1231 23:59:59.100000  4711 solver.cpp:331] Iteration 0, Testing net (#1)
I1231 23:59:59.200000  4711 solver.cpp:398]     Test net output #0: accuracy = 0.2
I1231 23:59:59.500000  4711 solver.cpp:219] Iteration 0 (-nan iter/s, 0.5s/100 iters), loss = 2.4
I1231 23:59:59.500000  4711 solver.cpp:238]     Train net output #0: loss = 2.3 (* 1 = 2.3 loss)
I1231 23:59:59.500000  4711 sgd_solver.cpp:105] Iteration 0, lr = 0.01
I0101 00:00:08.500000  4711 solver.cpp:219] Iteration 100 (11.1 iter/s, 9s/100 iters), loss = nan
I0101 00:00:08.500000  4711 solver.cpp:238]     Train net output #0: loss = 1e-05
I0101 00:00:08.500000  4711 sgd_solver.cpp:105] Iteration 100, lr = 1e-03
I0101 00:00:09.000000  4711 solver.cpp:331] Iteration 120, Testing net (#0)
I0101 00:00:09.500000  4711 solver.cpp:398]     Test net output #0: accuracy = 0.5
I0101 00:00:09.500000  4711 solver.cpp:398]     Test net output #1: loss = 1.5 (* 1 = 1.5 loss)
"""

FORK = """\
I20261123 09:00:00.000000 1 solver.cpp:50] Iteration 2, loss = 1.5
I20261123 09:00:00.000000 1 solver.cpp:50]     Train net output #0: loss = 1.25 (* 1 = 1.25 loss)
I20261123 09:00:00.000000 1 sgd_solver.cpp:50] Iteration 2, lr = 0.1
I20261123 09:00:00.000000 1 sgd_solver.cpp:50]     Element Sparsity %: 
0\t100\t4.16667\t0\t
I20261123 09:00:00.000000 1 sgd_solver.cpp:50]      Column Sparsity %: 
1\t2\t3\t4\t
I20261123 09:00:00.000000 1 sgd_solver.cpp:50]         Row Sparsity %: 
5\t6\t7\t8\t
I20261123 09:00:00.000000 1 sgd_solver.cpp:50]       Block Sparsity %: 
(18,1):9;(1,4):10;\t\t(1,3):11;\t\t
I20261123 09:00:00.000000 1 sgd_solver.cpp:50]     Total regularization terms: 0.5 loss+regular. : 2
"""  # noqa: W291

OWN = """\
I1123 09:00:00.000000 1 display.py:1] Iteration 0, loss = 2.5
I1123 09:00:00.000000 1 display.py:1]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)
I1123 09:00:00.000000 1 display.py:1] Iteration 0, lr = 0.1
I1123 09:00:00.000000 1 a.py:1] Sparsity conv1 weight: elem 1.5% col 2.0% row 3.0% block(5,1) 4.0%
I1123 09:00:00.000000 1 a.py:1] Sparsity ip1 weight: elem 5.0% col 6.0% row 7.0%
I1123 09:00:00.000000 1 display.py:1]     Total regularization terms: 0.5 loss+regular. : 3
"""


def test_caffe():
    log = parse_training_log(CAFFE.splitlines(), 2017)
    assert log.train[0] == {
        "NumIters": 0, "Seconds": 1.0, "LearningRate": 0.01, "Loss": 2.4, "loss": 2.3
    }  # fmt: skip
    assert columns(log.train) == list(log.train[0])
    second = log.train[1]
    assert (second["Seconds"], second["LearningRate"], second["loss"]) == (10.0, 1e-3, 1e-5)
    assert second["Loss"] != second["Loss"]  # nan
    first, second = log.test[0]
    assert (first["accuracy"], first["loss"], first["LearningRate"]) == (0.1, 2.5, 0.01)
    assert (second["NumIters"], second["accuracy"], second["LearningRate"]) == (120, 0.5, 1e-3)
    assert [row["accuracy"] for row in log.test[1]] == [0.2]
    assert log.sparsity == []


@pytest.mark.parametrize("cut", [False, True], ids=["dates", "no dates"])
def test_the_fork(cut):
    text = FORK
    if cut:
        text = text.replace("20261123 09:00:00.000000 1", "").replace(".cpp:50]", ".cpp]")
    log = parse_training_log(text.splitlines(keepends=True))
    assert log.train == [
        {
            "NumIters": 2,
            "Seconds": None if cut else 0.0,
            "LearningRate": 0.1,
            "Loss": 1.5,
            "loss": 1.25,
            "Regularization": 0.5,
        }
    ]
    (row,) = log.sparsity
    assert [row[f"param {i} element"] for i in range(4)] == [0, 100, 4.16667, 0]
    assert [row[f"param {i} column"] for i in range(4)] == [1, 2, 3, 4]
    assert [row[f"param {i} row"] for i in range(4)] == [5, 6, 7, 8]
    blocks = {name: share for name, share in row.items() if "block" in name}
    assert blocks == {
        "param 0 block(18,1)": 9, "param 0 block(1,4)": 10, "param 2 block(1,3)": 11
    }  # fmt: skip


def test_sscaffe():
    log = parse_training_log(OWN.splitlines())
    assert log.sparsity == [
        {
            "NumIters": 0,
            "Seconds": 0.0,
            "conv1 weight element": 1.5,
            "conv1 weight column": 2,
            "conv1 weight row": 3,
            "conv1 weight block(5,1)": 4,
            "ip1 weight element": 5,
            "ip1 weight column": 6,
            "ip1 weight row": 7,
        }
    ]
    assert log.train[0]["Regularization"] == 0.5


def test_a_log_that_goes_on_where_training_stopped_has_a_row_for_each_time():
    log = parse_training_log([*OWN.splitlines(), *OWN.replace("2.5", "9").splitlines()])
    assert [row["loss"] for row in log.train] == [2.5, 9]
    assert len(log.sparsity) == 2


def test_values_of_one_name_get_numbers():
    line = "I1123 09:00:00.000000 1 a.cpp:1]     Test net output #{}: class = {}"
    lines = ["Iteration 5, Testing net (#0)", *(line.format(i, i / 2) for i in range(3))]
    (row,) = parse_training_log(lines).test[0]
    assert [row[name] for name in ("class", "class[1]", "class[2]")] == [0, 0.5, 1]


def test_other_text_gives_nothing():
    log = parse_training_log(["hello", "", "I1123 nothing", "x" * 1000])
    assert (log.train, log.test, log.sparsity) == ([], {}, [])


def test_a_day_that_the_year_does_not_have():
    text = OWN.replace("I1123", "I0229")
    assert parse_training_log(text.splitlines(), 2023).train[0]["Seconds"] is None
    assert parse_training_log(text.splitlines(), 2024).train[0]["Seconds"] == 0
