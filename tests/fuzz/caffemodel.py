"""Caffemodels: copied into a net, of which nothing may change where one is refused."""

from pathlib import Path

from tests.fuzz.target import contents, from_file, fuzz, instrumented

with instrumented():
    from sscaffe.errors import SscaffeError
    from sscaffe.layer import TEST
    from sscaffe.net import Net
    from sscaffe.prototxt import parse_net
from tests.hostile.cases import DEPLOY
from tests.hostile.models import good_model, model_cases

net = Net(parse_net(DEPLOY), TEST)
blobs = [blob for layer in net.params.values() for blob in layer]


def load(path: Path) -> None:
    before = [blob.const_data.tobytes() for blob in blobs]
    try:
        net.copy_from(path)
    except SscaffeError:
        assert before == [blob.const_data.tobytes() for blob in blobs]


if __name__ == "__main__":
    fuzz(from_file(load), good_model(), *contents(model_cases(120)))
