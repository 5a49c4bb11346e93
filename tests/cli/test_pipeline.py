"""sscaffe pipeline: one job, stopped and killed and run again."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from sscaffe.layer import TRAIN
from sscaffe.net import Net
from sscaffe.solver.lock import locked
from sscaffe.solver.newest import newest_complete
from tests.trust.jobs import send, when

LONG = 400
COMMAND = "pipeline solver.prototxt --ssl filter --lambda 0.5 --proximal --out run"
TRAININGS = "--stages baseline,ssl,finetune"


def state():
    return json.loads(Path("run/pipeline.json").read_text())


def longer(folder, iterations=LONG):
    path = folder / "solver.prototxt"
    text = path.read_text().replace("max_iter: 20", f"max_iter: {iterations}")
    path.write_text(text.replace("display: 5", "display: 0"))


def test_all_stages_but_squeezing(tiny, sscaffe):
    longer(tiny)
    status, out, _ = sscaffe(f"{COMMAND} --stages baseline,ssl,finetune,time")
    assert status == 0
    done = state()["done"]
    assert set(done) == {"baseline", "recipe", "ssl", "finetune", "time"}
    assert [done[name]["iterations"] for name in ("baseline", "ssl", "finetune")] == [400, 200, 133]
    assert done["baseline"]["flops"] == 1 > done["ssl"]["flops"]
    assert done["finetune"]["flops"] <= done["ssl"]["flops"]  # What is frozen was thresholded.
    kept = done["finetune"]["kept"]["conv1"]
    assert kept["rows"] == 4 > kept["kept_rows"] >= 1
    assert set(done["baseline"]["test"][0]) == {"accuracy", "loss"}
    assert set(done["time"]) == {"baseline", "finetune"}
    assert f"conv1: 4 x 9 -> {kept['kept_rows']} x {kept['kept_columns']}" in out
    before = Path("run/pipeline.json").read_bytes()
    status, again, err = sscaffe(f"{COMMAND} --stages baseline,ssl,finetune,time")
    assert (status, again) == (0, out)
    assert err.count("done already") == 4
    assert Path("run/pipeline.json").read_bytes() == before


def test_stages_in_pieces_and_lambda_where_it_balances(tiny, sscaffe):
    command = "pipeline solver.prototxt --ssl filter --out run --stages"
    assert sscaffe(f"{command} baseline")[0] == 0
    status, _, err = sscaffe(f"{command} finetune")
    assert status == 1
    assert "stages: finetune needs ssl, which is not done; add it" in err
    assert sscaffe(f"{command} ssl")[0] == 0
    recipe = state()["done"]["recipe"]
    assert recipe["strength"] > 0
    assert (
        f"block_group_decay: {recipe['strength']:g}"[:22] in Path(recipe["ssl_solver"]).read_text()
    )
    assert sscaffe(f"{command} finetune,ssl")[0] == 0
    assert "finetune" in state()["done"]


@pytest.mark.parametrize("stage", ["baseline", "net_ssl", "net_finetune"])
def test_a_run_that_was_killed_goes_on_to_the_same_end(stage, tiny, sscaffe, start):
    longer(tiny, 2000)
    assert sscaffe(f"{COMMAND} {TRAININGS}")[0] == 0
    expected = state()["done"]
    weights = {name: conv1(expected[name]["weights"]) for name in ("baseline", "ssl", "finetune")}
    Path("run").rename("straight")
    # When the second snapshot is begun, the first is whole.
    dies = when(f"Snapshotting solver state .*{stage}", send(signal.SIGKILL), 2)
    process = start(f"{COMMAND} {TRAININGS}", dies)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert stage.removeprefix("net_") not in state()["done"]
    status, _, err = sscaffe(f"{COMMAND} {TRAININGS}")
    assert status == 0
    assert "Restoring from" in err
    assert state()["done"] == expected
    for name, array in weights.items():
        np.testing.assert_array_equal(conv1(expected[name]["weights"]), array)


def conv1(path):
    with Net("net.prototxt", TRAIN, weights=path) as net:
        return net.params["conv1"][0].const_data.copy()


def test_ctrl_c_stops_with_a_snapshot(tiny, start):
    longer(tiny, 10**7)
    process = start(f"{COMMAND} {TRAININGS} --set max_iter=100")
    for line in process.stderr:
        if "Solving" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 128 + signal.SIGINT
    assert "stopped: run the same command again to go on" in err
    assert newest_complete("run/baseline")
    assert state()["done"] == {}


def test_weights_take_the_place_of_the_baseline(tiny, sscaffe):
    assert sscaffe("train -solver solver.prototxt")[0] == 0
    flags = "--weights tiny_iter_20.caffemodel --stages baseline,ssl --set target_flops=0.99"
    assert sscaffe(f"{COMMAND} {flags} --set target_interval=1")[0] == 0
    done = state()["done"]
    assert done["baseline"]["weights"] == "tiny_iter_20.caffemodel"
    assert done["baseline"]["iterations"] == 0
    assert not list(Path("run").glob("baseline_iter*"))
    assert done["ssl"]["iterations"] <= 10


def test_one_run_for_each_folder(tiny, sscaffe):
    Path("run").mkdir()
    with locked("run/baseline"):
        status, _, err = sscaffe(f"{COMMAND} --stages baseline")
    assert status == 1
    assert f"out: expected one training at a time, and process {os.getpid()} writes here" in err
    assert "Solving" not in err
    assert sscaffe(f"{COMMAND} --stages baseline")[0] == 0
    assert not list(Path("run").glob("*.lock"))


def test_another_plan_needs_another_folder(tiny, sscaffe):
    assert sscaffe(f"{COMMAND} --stages baseline")[0] == 0
    status, _, err = sscaffe(COMMAND.replace("0.5", "0.7"))
    assert status == 1
    assert "run/pipeline.json: is of another run, with strength 0.5 instead of 0.7" in err
    Path("run/pipeline.json").write_text("{}")
    status, _, err = sscaffe(COMMAND)
    assert status == 1
    assert "run/pipeline.json: is not the state of a pipeline" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--batches 0", "batches: expected 1 or more, got 0"),
        ("--set target_flops=2", "target_flops: expected a share between 0 and 1, got 2"),
        ("--stages train", "stages: expected some of baseline, ssl, finetune, squeeze, time, got"),
        ("--set speed=3", "speed"),
        ("--lambda none", "lambda: expected a number above 0 or auto, got 'none'"),
        ("--layers conv9", "got 'conv9'"),
    ],
)
def test_refusals(tiny, sscaffe, flags, message):
    command = "pipeline solver.prototxt --ssl filter --out run"
    status, _, err = sscaffe(f"{command} {flags}")
    assert status == 1
    assert message in err
    assert not list(tiny.glob("run/baseline_iter*"))


def test_a_net_is_no_solver(tiny, sscaffe):
    status, _, err = sscaffe("pipeline net.prototxt --ssl filter --out run")
    assert status == 1
    assert "net.prototxt: expected a solver, got a net" in err


def test_another_plan_is_fine_while_nothing_is_done(tiny, sscaffe):
    assert sscaffe(f"{COMMAND} --stages bake")[0] == 1
    assert state()["done"] == {}
    other = COMMAND.replace("0.5", "0.7")
    status, _, err = sscaffe(f"{other} --weights tiny_iter_20.caffemodel")
    assert status == 1
    assert "of another run, with weights '' instead of 'tiny_iter_20.caffemodel'" in err
    assert sscaffe(f"{other} --stages baseline")[0] == 0
    assert state()["plan"]["strength"] == 0.7


def test_json_is_json_with_every_stage(tiny, sscaffe):
    status, out, _ = sscaffe(f"{COMMAND} --json")
    assert status == 0
    assert set(json.loads(out)) == {"baseline", "recipe", "ssl", "finetune", "squeeze", "time"}


def test_a_report_has_a_section_for_each_training(tiny, sscaffe):
    assert sscaffe(f"{COMMAND} {TRAININGS}")[0] == 0
    assert sscaffe("report run --out page.html")[0] == 0
    page = (tiny / "page.html").read_text()
    for stage in ("baseline", "ssl", "finetune"):
        assert page.count(f"<h2>pipeline: {stage}</h2>") == 1
