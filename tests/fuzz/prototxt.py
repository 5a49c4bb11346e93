"""Nets as text: parsed, upgraded, written, and parsed again."""

import atheris

with atheris.instrument_imports(include=["sscaffe"]):
    from sscaffe.prototxt import format_net, parse_net
    from sscaffe.upgrade import upgrade_net
from tests.fuzz.target import fuzz
from tests.hostile.cases import DEPLOY


def parse(content: bytes) -> None:
    net = upgrade_net(parse_net(content), "input")
    assert parse_net(format_net(net)).SerializeToString() == net.SerializeToString()


if __name__ == "__main__":
    fuzz(parse, DEPLOY.encode(), b'layers { name: "a" type: RELU blobs_lr: 1 }')
