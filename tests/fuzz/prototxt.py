"""Nets as text: parsed, upgraded, written, and parsed again."""

from tests.fuzz.target import contents, fuzz, instrumented

with instrumented():
    from sscaffe.prototxt import format_net, parse_net
    from sscaffe.upgrade import upgrade_net
from tests.hostile.cases import DEPLOY
from tests.hostile.prototxts import cases


def parse(content: bytes) -> None:
    net = upgrade_net(parse_net(content), "input")
    assert parse_net(format_net(net)).SerializeToString() == net.SerializeToString()


if __name__ == "__main__":
    old = b'layers { name: "a" type: RELU blobs_lr: 1 }'
    fuzz(parse, DEPLOY.encode(), old, *contents(cases(120)))
