"""The register of layer types, and what is said of types that are not in it."""

import pytest

from sscaffe.errors import UnsupportedError
from tests.helpers import make_layer


@pytest.mark.parametrize(
    ("layer_type", "message"),
    [
        ("MultiBoxLoss", "type: MultiBoxLoss layers are not built yet"),
        ("VideoData", "type: VideoData layers are not built yet"),
        ("Convolutoin", "there is no layer type 'Convolutoin'; did you mean 'Convolution'"),
        ("Nonsense", "there is no layer type 'Nonsense'$"),
        ("", "type: expected a layer type, got none"),
    ],
)
def test_a_type_that_is_not_there(layer_type, message):
    with pytest.raises(UnsupportedError, match=message):
        make_layer(f"type: '{layer_type}'")
