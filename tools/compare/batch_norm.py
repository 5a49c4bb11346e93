"""BatchNorm by the statistics of the batch, for a BVLC Caffe whose own does not gather any.

That of the wheel kendryte-caffe always uses the statistics it has been given. What it is meant to
do is the same as MVN over the channels brought to the front, apart from eps.
"""

from sscaffe.layer import TEST
from sscaffe.proto import caffe_pb2, text_format
from sscaffe.prototxt import parse_net

RAW, OTHERS = "_raw", "order: 2 order: 3"


def for_peer(text, phase, axes):
    """Return a prototxt with MVN in place of the BatchNorms that use the batch's statistics.

    A blob that such a layer changes in place gets another name before it.

    Parameters
    ----------
    text : str
        The prototxt.
    phase : int
        TRAIN or TEST.
    axes : dict of str to int
        How many axes each blob has.
    """
    net = parse_net(text)
    result = caffe_pb2.NetParameter()
    result.CopyFrom(net)
    del result.layer[:]
    for number, layer in enumerate(net.layer):
        param = layer.batch_norm_param
        is_given = param.use_global_stats if param.HasField("use_global_stats") else phase == TEST
        if layer.type != "BatchNorm" or is_given:
            result.layer.add().CopyFrom(layer)
            continue
        bottom, top = layer.bottom[0], layer.top[0]
        if bottom == top:
            bottom = f"{top}{RAW}{number}"
            for earlier in result.layer:
                _rename(earlier.bottom, top, bottom)
                _rename(earlier.top, top, bottom)
        _add(result, layer, bottom, axes[top])
    return text_format.MessageToString(result)


def _rename(names, old, new):
    for i, name in enumerate(names):
        if name == old:
            names[i] = new


def _add(result, layer, bottom, axes):
    """Add Permute, MVN, which makes four axes of two, and Permute."""
    top, front, normal = layer.top[0], f"{layer.name}_front", f"{layer.name}_normal"
    back = top if axes == 4 else f"{layer.name}_back"
    two, four = (f"permute_param {{ order: 1 order: 0 {more} }}" for more in ("", OTHERS))
    steps = [
        ("Permute", bottom, front, four if axes == 4 else two),
        ("MVN", front, normal, "mvn_param { across_channels: true }"),
        ("Permute", normal, back, four),
    ]
    if axes == 2:
        steps.append(("Flatten", back, top, ""))
    for kind, source, target, param in steps:
        text = f"name: '{target}_{kind}' type: '{kind}' bottom: '{source}' top: '{target}' {param}"
        text_format.Parse(text, result.layer.add())
