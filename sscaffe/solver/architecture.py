"""What net a solverstate belongs to, so that training goes on with no other one."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sscaffe.errors import WeightsError
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2

_DIGITS = 12  # of a hash, in a message
_ENOUGH = 200  # of a name or line from a file, in a message


def describe(net: Net) -> list[str]:
    """Return a line for each layer that has weights, or from which the loss is computed.

    It has the layer's name and type, what it reads, and the shapes of its weights. Where data comes
    from and how much at a time, how fast what learns, and what is only looked at, as by Accuracy,
    may change from one training to the next.
    """
    splits: dict[str, str] = {}
    for layer in net.param.layer:
        if layer.type == "Split":
            splits.update(dict.fromkeys(layer.top, layer.bottom[0]))
    lines, counted = [], _counted(net)
    for i, layer in enumerate(net.param.layer):
        if layer.bottom and layer.type != "Split" and i in counted:
            read = ", ".join(splits.get(name, name) for name in layer.bottom)
            shapes = [" x ".join(map(str, blob.shape)) or "1" for blob in net.layers[i].blobs]
            lines.append("; ".join([f"{layer.name!r}: {layer.type} of {read}", *shapes]))
    return lines


def _counted(net: Net) -> set[int]:
    """Return the numbers of the layers that have weights or that the loss needs."""
    found: set[int] = set()
    needed = {i for i, name in enumerate(net.blob_names) if net.blob_loss_weights.get(name)}
    for i in reversed(range(len(net.layers))):
        if net.layers[i].blobs or needed.intersection(net.top_ids[i]):
            found.add(i)
            needed.update(net.bottom_ids[i])
    return found


def fingerprint(lines: Sequence[str]) -> str:
    """Return the SHA-256 of what `describe` returned, in hexadecimal digits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save(proto: caffe_pb2.SolverState, net: Net) -> None:
    """Note in a state which net it belongs to."""
    proto.net_name = net.name
    proto.architecture.extend(describe(net))
    proto.architecture_hash = fingerprint(proto.architecture)


def check(proto: caffe_pb2.SolverState, net: Net, path: Path) -> None:
    """Check that a state belongs to a net of this architecture; Caffe's do not say.

    Raises
    ------
    WeightsError
        If not; the message has both names and the first difference.
    """
    if not proto.HasField("architecture_hash"):
        return
    wanted = describe(net)
    if proto.architecture_hash == fingerprint(wanted):
        return
    got, name = proto.architecture_hash[:_DIGITS], proto.net_name[:_ENOUGH]
    raise WeightsError(
        f"net: expected a state of {net.name!r} ({fingerprint(wanted)[:_DIGITS]}), got one of "
        f"{name!r} ({got}) in {path}: {_difference(wanted, proto.architecture)}; go on with that "
        "net, or start from its weights alone"
    )


def _difference(here: Sequence[str], there: Sequence[str]) -> str:
    """Return the first line in which two nets differ."""
    for i in range(max(len(here), len(there))):
        one, other = ((lines[i] if i < len(lines) else "no layer") for lines in (here, there))
        if one != other:
            return f"it has {other[:_ENOUGH]} where the net has {one[:_ENOUGH]}"
    return "its description is not that of its hash"
