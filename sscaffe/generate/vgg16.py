"""VGG-16.

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", ICLR 2015, configuration D. 138,357,544 parameters.
"""

from sscaffe.generate.imagenet import classify, images, steps
from sscaffe.generate.layers import Layers, filler, gaussian
from sscaffe.generate.model import Model

_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def vgg16() -> Model:
    """Return VGG-16, with group lasso on filters and shapes of all convolutions but the first."""
    convolutions = [f"conv{b}_{i + 1}" for b, (n, _) in enumerate(_BLOCKS, 1) for i in range(n)]
    return Model(
        name="vgg16",
        title="VGG-16",
        body=_body,
        data=images(224, 64, 50, mean_values=(103.939, 116.779, 123.68)),
        groups={name: {"FILTER": 1, "SHAPE": 1} for name in convolutions[1:]},
        solvers={
            "": steps(0.01, 5e-4, (100_000, 200_000, 300_000), 370_000),
            "ssl": steps(0.001, 1e-5, (500_000, 800_000), 900_000, block_group_decay=0.001),
            "finetune": steps(0.001, 5e-4, (250_000, 400_000), 500_000),
        },
    )


def _body(train: bool) -> tuple[Layers, str]:
    # Normal numbers of one width, as the paper has them, need a smaller net trained first.
    layers, blob = Layers(filler("msra")), "data"
    for block, (count, width) in enumerate(_BLOCKS, 1):
        for i in range(1, count + 1):
            blob = layers.conv(f"conv{block}_{i}", blob, width, 3, pad=1)
            layers.relu(f"relu{block}_{i}", blob)
        blob = layers.max_pool(f"pool{block}", blob, 2, 2)
    for number in (6, 7):
        blob = layers.inner_product(f"fc{number}", blob, 4096, filler=gaussian(0.005), bias=0.1)
        layers.relu(f"relu{number}", blob)
        layers.dropout(f"drop{number}", blob, 0.5)
    blob = layers.inner_product("fc8", blob, 1000, filler=gaussian(0.01))
    if train:
        classify(layers, blob)
    return layers, blob
