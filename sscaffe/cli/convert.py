"""Turn nets and weights from one format into another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sscaffe.cli import options
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.options import image_shape
from sscaffe.cli.results import print_json, print_table
from sscaffe.convert.from_onnx import read_onnx
from sscaffe.convert.saved import Format, SavedLayer, format_of, in_order_of, to_caffemodel
from sscaffe.convert.skimcaffe import rename_modes, renumber_modes
from sscaffe.convert.to_onnx import write_onnx
from sscaffe.convert.weights_files import KINDS, read_weights, write_weights
from sscaffe.errors import SscaffeError
from sscaffe.files import write_atomically
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.net.weights import load_proto
from sscaffe.packed import read_packed
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import parse_net, read_net, read_text, write_text
from sscaffe.serialized import read_binary, write_binary
from sscaffe.timing.inputs import ImageShape, stand_in_for_missing_data

_SKIMCAFFE = "skimcaffe"
_KINDS = [str(kind) for kind in Format]
_EPILOG = "Example: sscaffe convert ssl.caffemodel ssl.packed"

_HELP = """Write what is in IN to OUT, in the format that the ending of OUT tells.

\b
.caffemodel            Caffe's weights
.caffemodel.h5, .h5    Caffe's weights as HDF5
.npz, .safetensors     arrays with names such as conv1/0
.packed                weights without their zeros, bit for bit; any -weights takes it
.onnx                  a net with its weights

To ONNX, --net is the net of the weights in IN. From ONNX, --net is where the net is written: by
default, beside OUT. Between weights, --net leaves out layers that the net does not have.

--from skimcaffe takes a prototxt or a caffemodel of SkimCaffe, where conv_mode has other numbers.
"""  # \b keeps click from filling the lines

Report = dict[str, Any]


@click.command(cls=CaffeCommand, help=_HELP, short_help="Convert nets and weights.", epilog=_EPILOG)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--net", default="", metavar="FILE", help="The net: read, or made of an ONNX file.")
@click.option("--from", "kind", type=click.Choice([*_KINDS, _SKIMCAFFE]), help="What IN is.")
@click.option("--to", "wanted", type=click.Choice(_KINDS), help="What OUT shall be.")
@click.option("--shape", metavar="C,H,W", help="To ONNX: of images whose database is not here.")
@click.option("--batch", default=1, metavar="N", help="From ONNX: images, where IN leaves it open.")
@options.force
@options.as_json
def command(
    source: str,
    target: str,
    net: str,
    kind: str | None,
    wanted: str | None,
    shape: str | None,
    batch: int,
    force: bool,
    as_json: bool,
) -> int:
    """Write what is in IN to OUT, in the format that the ending of OUT tells."""
    with options.logged():
        options.require_new(target, force=force)
        if Path(target).exists() and Path(source).exists() and Path(target).samefile(source):
            raise SscaffeError(f"{target}: is the input itself; give another name")
        if kind == _SKIMCAFFE:
            report = _from_skimcaffe(source, target)
        else:
            formats = Format(kind or format_of(source)), Format(wanted or format_of(target))
            if formats[0] is Format.ONNX and formats[1] in KINDS:
                net = net or str(Path(target).with_suffix(".prototxt"))
                options.require_new(net, force=force)
                report = _from_onnx(source, target, formats[1], net, batch)
            elif formats[1] is Format.ONNX and formats[0] in KINDS:
                report = _to_onnx(source, target, formats[0], net, image_shape(shape))
            else:
                report = _convert(source, target, formats, net)
    sizes = {path: Path(path).stat().st_size for path in (source, *report["written"])}
    if as_json:
        print_json({**report, "bytes": sizes})
        return 0
    if report.get("layers"):
        _print_layers(report["layers"])
    for path, size in sizes.items():
        click.echo(f"{path}: {size:,} bytes ({100 * size / max(1, sizes[source]):.1f} %)")
    return 0


def _convert(source: str, target: str, formats: tuple[Format, Format], net: str) -> Report:
    kind, wanted = formats
    if not {kind, wanted} <= KINDS.keys():
        raise SscaffeError(
            f"{source}: expected weights ({', '.join(KINDS)}), or ONNX on one side, got {kind} and "
            f"{wanted}"
        )
    layers = read_weights(source, kind)
    if net:
        layers = in_order_of(layers, read_net(net))
    write_weights(target, wanted, layers)
    return _report(kind, wanted, [target], layers, target)


def _to_onnx(
    source: str, target: str, kind: Format, model: str, shape: ImageShape | None
) -> Report:
    if not model:
        raise click.UsageError("--net: expected the net of the weights, a prototxt, got none")
    layers = read_weights(source, kind)
    param = read_net(model)
    state = caffe_pb2.NetState(phase=caffe_pb2.TEST)
    stand_in = stand_in_for_missing_data(param, shape, state=state)
    with Net(stand_in, TEST, source=model) as net:
        load_proto(to_caffemodel(layers), net.params)
        write_onnx(target, net)
    return _report(kind, Format.ONNX, [target], in_order_of(layers, param), target)


def _from_onnx(source: str, target: str, wanted: Format, model: str, batch: int) -> Report:
    if batch < 1:
        raise click.UsageError(f"--batch: expected 1 or more, got {batch}")
    param, layers = read_onnx(source, batch)
    write_weights(target, wanted, layers)
    write_text(model, param)
    return _report(Format.ONNX, wanted, [target, model], layers, target)


def _from_skimcaffe(source: str, target: str) -> Report:
    if format_of(source) is Format.PROTOTXT:
        content = read_text(source)
        parse_net(content, source)  # so that what is wrong with it is said
        text, changed = rename_modes(content.decode(), source)
        write_atomically(target, text.encode())
    else:
        model = read_binary(source, caffe_pb2.NetParameter)
        changed = renumber_modes(model, source)
        write_binary(target, model)
    return {"from": _SKIMCAFFE, "to": format_of(target), "written": [target], "changed": changed}


def _report(
    kind: str, wanted: str, written: list[str], layers: Sequence[SavedLayer], target: str
) -> Report:
    blobs = [
        {"blob": f"{layer.name}/{i}", "shape": list(a.shape), "count": a.size, "zeros": _zeros(a)}
        for layer in layers
        for i, a in enumerate(layer.arrays)
    ]
    if wanted == Format.PACKED:
        packed = [blob for layer in read_packed(target) for blob in layer.blobs]
        for row, blob in zip(blobs, packed, strict=True):
            row.update(form=blob.form, bytes=len(blob.content))
    return {"from": kind, "to": wanted, "written": written, "layers": blobs}


def _zeros(array: Any) -> int:
    return int((array == 0).sum())


def _print_layers(blobs: Sequence[Report]) -> None:
    extra = [key for key in ("form", "bytes") if key in blobs[0]]
    rows = [
        (
            b["blob"],
            " x ".join(map(str, b["shape"])) or "1",
            100.0 * b["zeros"] / max(1, b["count"]),
            *(b[key] for key in extra),
        )
        for b in blobs
    ]
    print_table(["blob", "shape", "zeros %", *extra], rows)
