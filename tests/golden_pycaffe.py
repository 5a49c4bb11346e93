"""How the golden cases of pycaffe's helpers are run."""

from pathlib import Path

from google.protobuf import text_format

from sscaffe import TEST, Net, NetSpec, io, layers as L, params as P, to_proto
from sscaffe.io import Transformer
from sscaffe.proto import caffe_pb2


def run_pycaffe(case, check):
    """Run the case by its name; each is of its own kind."""
    _CASES[case.info["name"]](case, check)


def _transformer_resize(case, check):
    image = case["im"]
    check.close("resized", "resize_image", io.resize_image(image, (4, 4)), case["resized"])
    transformer = Transformer({"data": (1, 3, 4, 4)})
    transformer.set_transpose("data", (2, 0, 1))
    check.close("pre", "preprocess", transformer.preprocess("data", image), case["pre"])


def _oversample(case, check):
    crops = case["crops"]
    check.close("crops", "crops", io.oversample(case["ims"], crops.shape[1:3]), crops)


def _io_protos(case, check):
    blob = caffe_pb2.BlobProto.FromString(Path("b.binaryproto").read_bytes())
    check.close("back", "blobproto_to_array", io.blobproto_to_array(blob), case["back"])
    check.equal("b", "array_to_blobproto", io.array_to_blobproto(case["a"]), blob)
    datum = caffe_pb2.Datum.FromString(Path("d.datum").read_bytes())
    check.close("datum", "datum_to_array", io.datum_to_array(datum), case["datum"])
    check.equal("d", "array_to_datum", io.array_to_datum(case["datum"], datum.label), datum)


def _net_spec(case, check):
    shapes = [{"dim": [2, 3, 8, 8]}, {"dim": [2]}]
    data, label = L.DummyData(name="data", ntop=2, shape=shapes)
    conv1 = L.Convolution(
        data,
        num_output=4,
        kernel_size=3,
        weight_filler={"type": "xavier"},
        param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
    )
    relu1 = L.ReLU(conv1, in_place=True)
    pool1 = L.Pooling(relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    ip = L.InnerProduct(pool1, num_output=3)
    loss = L.SoftmaxWithLoss(ip, label)
    spec = NetSpec()
    spec.data, spec.label, spec.conv1, spec.relu1 = data, label, conv1, relu1
    spec.pool1, spec.ip, spec.loss = pool1, ip, loss
    wanted = caffe_pb2.NetParameter()
    text_format.Parse(Path("spec.prototxt").read_text(), wanted)
    check.equal("spec", "to_proto", spec.to_proto(), wanted)
    check.equal("spec", "layers", len(to_proto(loss).layer), len(wanted.layer))


def _reshape_net(case, check):
    net = Net("net.prototxt", TEST)
    for i in (0, 1):
        net.params["c"][i].data[...] = case[f"param/c/{i}"]
    for turn in range(3):
        x = case[f"x{turn}"]
        net.blobs["data"].reshape(*x.shape)
        net.reshape()
        outputs = net.forward(blobs=["c"], data=x)
        for name, array in outputs.items():
            check.close(name, f"{name}{turn}", array, case[f"{name}{turn}"])


_CASES = {
    "io_protos": _io_protos,
    "net_spec": _net_spec,
    "oversample": _oversample,
    "reshape_net": _reshape_net,
    "transformer_resize": _transformer_resize,
}
