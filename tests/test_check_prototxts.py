"""The script that reads the prototxts of whole trees."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "tools" / "check_prototxts.py"

FILES = {
    "a/solver.prototxt": 'net: "net.prototxt" solver_type: ADAM',
    "a/net.prototxt": """
        layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
          data_param { source: "missing" batch_size: 900000 } }
        layer { name: "d" type: "Input" top: "data" top: "label" include { phase: TEST }
          input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
          inner_product_param { num_output: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
    """,
    "b/labelmap.prototxt": '# a label map\nitem { name: "cat" label: 1 }',
    "b/unknown.prototxt": 'layer { name: "w" type: "Wibble" top: "t" }',
    "b/typo.prototxt": "\nlayer { nme: 'a' }",
    "b/readme.txt": "not looked at",
}


def run(tmp_path, *options):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, SCRIPT, *options, tmp_path / "a", tmp_path / "b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    words = [line.split() for line in done.stdout.splitlines()]
    rows = [row[:-1] for row in words if row[-1] in (str(tmp_path / "a"), str(tmp_path / "b"))]
    return done, [[int(cell) for cell in row] for row in rows]


def test_it_counts_what_is_parsed_and_says_what_is_not(tmp_path):
    done, rows = run(tmp_path, "--at-least", "75")
    assert rows == [[2, 0, 2, 1, 1, 0, 0], [3, 1, 1, 0, 1, 0, 0]]
    refusal = "1 x not parsed: line 2:9: LayerParameter has no field 'nme'; the nearest is 'name'"
    assert f"{refusal}\n    {tmp_path / 'b' / 'typo.prototxt'}\n" in done.stdout
    assert done.stdout.endswith("75.0 % parsed\n")
    assert done.returncode == 0, done.stderr


def test_it_fails_if_too_few_are_parsed(tmp_path):
    assert run(tmp_path)[0].returncode == 1


def test_it_builds_nets_without_their_data(tmp_path):
    done, rows = run(tmp_path, "--build")
    assert rows == [[2, 0, 2, 1, 1, 1, 1], [3, 1, 1, 0, 1, 0, 0]]
    for phase in ("TRAIN", "TEST"):
        assert re.search(f"1 x not built in {phase}: type: .*'w' \\(Wibble\\)", done.stdout)
