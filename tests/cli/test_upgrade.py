"""``sscaffe upgrade``: kinds of files, what it writes, and what it never overwrites."""

import json

import numpy as np
import pytest

from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net, parse_solver
from sscaffe.serialized import array_to_blobproto, read_binary, write_binary

OLD_NET = 'layers { name: "r" type: RELU bottom: "x" top: "y" }'
NEW_NET = 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'
OLD_SOLVER = 'net: "n" solver_type: ADAM'
NEW_SOLVER = 'net: "n" type: "Adam"'


def old_model():
    model = caffe_pb2.NetParameter(name="m")
    layer = model.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.append(array_to_blobproto(np.arange(6, dtype=np.float32).reshape(2, 3)))
    return model


@pytest.fixture(autouse=True)
def in_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("flags", ["", "--kind net"])
def test_a_net(sscaffe, tmp_path, flags):
    (tmp_path / "in").write_text(OLD_NET)
    status, out, err = sscaffe(f"upgrade in out {flags} --json")
    assert status == 0
    assert json.loads(out) == {"kind": "net", "written": "out", "upgraded": True}
    assert parse_net((tmp_path / "out").read_text()) == parse_net(NEW_NET)
    assert "Attempting to upgrade input file specified using deprecated V1LayerParameter: in" in err
    assert "Successfully upgraded file specified using deprecated V1LayerParameter" in err
    assert "Wrote upgraded NetParameter text proto to out" in err
    assert (tmp_path / "in").read_text() == OLD_NET


@pytest.mark.parametrize("flags", ["", "-kind=solver"])
def test_a_solver(sscaffe, tmp_path, flags):
    (tmp_path / "in").write_text(OLD_SOLVER)
    status, out, err = sscaffe(f"upgrade in out {flags}")
    assert status == 0
    assert out.split()[-3:] == ["solver", "out", "yes"]
    assert parse_solver((tmp_path / "out").read_text()) == parse_solver(NEW_SOLVER)
    assert "Wrote upgraded SolverParameter text proto to out" in err


@pytest.mark.parametrize("flags", ["", "--kind caffemodel"])
def test_a_caffemodel(sscaffe, tmp_path, flags):
    write_binary("in", old_model())
    status, out, _ = sscaffe(f"upgrade in out {flags} --json")
    assert status == 0
    assert json.loads(out)["kind"] == "caffemodel"
    written = read_binary("out", caffe_pb2.NetParameter)
    assert not written.layers
    (layer,) = written.layer
    assert (layer.name, layer.type) == ("ip", "InnerProduct")
    assert layer.blobs[0] == old_model().layers[0].blobs[0]


def test_a_file_of_today_is_written_all_the_same(sscaffe, tmp_path):
    (tmp_path / "in").write_text(NEW_NET)
    status, out, err = sscaffe("upgrade in out --json")
    assert status == 0
    assert json.loads(out)["upgraded"] is False
    assert "File already in latest proto format: in" in err
    assert parse_net((tmp_path / "out").read_text()) == parse_net(NEW_NET)


def test_in_place(sscaffe, tmp_path):
    (tmp_path / "in").write_text(OLD_NET)
    status, out, _ = sscaffe("upgrade in --in-place --json")
    assert status == 0
    assert json.loads(out)["written"] == "in"
    assert parse_net((tmp_path / "in").read_text()) == parse_net(NEW_NET)


@pytest.mark.parametrize("arguments", ["in", "in in", "in ./in", "in link", "in out --in-place"])
def test_the_input_is_never_overwritten_unasked(sscaffe, tmp_path, arguments):
    (tmp_path / "in").write_text(OLD_NET)
    (tmp_path / "link").symlink_to("in")
    status, _, err = sscaffe(f"upgrade {arguments}")
    assert status == 1
    assert "OUT: expected" in err
    assert (tmp_path / "in").read_text() == OLD_NET
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (OLD_SOLVER + ' type: "Adam"', "solver_type: type is set as well"),
        (OLD_NET + NEW_NET, "layers: expected layer or layers, got 1 layer and 1 layers"),
        ('layer { name: "a"\n tipe: "ReLU" }', "in:2:2: LayerParameter has no field 'tipe'"),
        ('net: "a"\nbase_lt: 1', "in:2:1: SolverParameter has no field 'base_lt'"),
        ("", "expected"),
    ],
)
def test_what_cannot_be_upgraded_leaves_no_file(sscaffe, tmp_path, content, message):
    (tmp_path / "in").write_text(content)
    status, _, err = sscaffe("upgrade in out" + ("" if content else " --kind caffemodel"))
    assert status == 1
    assert message in err
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(sscaffe, tmp_path):
    (tmp_path / "in").write_bytes(b"\x89HDF\r\n\x1a\n and so on")
    status, _, err = sscaffe("upgrade in out")
    assert status == 1
    assert "HDF5 files have one form only" in err
    status, _, err = sscaffe("upgrade none out")
    assert status == 1
    assert "none: cannot be read: no such file or directory" in err
