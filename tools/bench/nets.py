"""The nets of the benchmarks, with the sizes that their papers and Caffe's model zoo give."""

from bench.layers import Layers


def lenet():
    """Return LeNet as Caffe trains it on MNIST."""
    n = Layers(1, 28, 28)
    n.conv("conv1", 20, 5)
    n.pool("pool1", "MAX", 2, 2)
    n.conv("conv2", 50, 5)
    n.pool("pool2", "MAX", 2, 2)
    n.ip("ip1", 500)
    n.relu()
    n.ip("ip2", 10)
    return n


def _cifar(norm):
    n = Layers(3, 32, 32)
    n.conv("conv1", 32, 5, pad=2)
    n.pool("pool1", "MAX", 3, 2)
    n.relu()
    norm(n, "norm1")
    n.conv("conv2", 32, 5, pad=2)
    n.relu()
    n.pool("pool2", "AVE", 3, 2)
    norm(n, "norm2")
    n.conv("conv3", 64, 5, pad=2)
    n.relu()
    n.pool("pool3", "AVE", 3, 2)
    return n


def cifar_quick():
    """Return Caffe's quick net for CIFAR-10."""
    n = _cifar(lambda n, name: None)
    n.ip("ip1", 64)
    n.ip("ip2", 10)
    return n


def cifar_full():
    """Return Caffe's full net for CIFAR-10, which normalizes within channels."""
    fields = {"local_size": 3, "alpha": 5e-5, "beta": 0.75, "norm_region": "WITHIN_CHANNEL"}
    n = _cifar(lambda n, name: n.lrn(name, **fields))
    n.ip("ip1", 10)
    return n


def _conv_norm(n, name, filters, kernel, **fields):
    n.conv(name, filters, kernel, bias=False, **fields)
    return n.batch_norm()


def resnet20():
    """Return ResNet-20 for CIFAR-10, with 1 x 1 convolutions where shortcuts change shape."""
    n = Layers(3, 32, 32)
    _conv_norm(n, "conv1", 16, 3, pad=1)
    start = n.relu()
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            name, filters = f"s{stage}b{block}", 8 * 2**stage
            stride = 2 if stage > 1 and block == 1 else 1
            short = start
            if stride > 1:
                short = _conv_norm(n, f"{name}_short", filters, 1, bottom=start, stride=2)
            _conv_norm(n, f"{name}_a", filters, 3, bottom=start, stride=stride, pad=1)
            n.relu()
            long = _conv_norm(n, f"{name}_b", filters, 3, pad=1)
            n.sum(name, short, long)
            start = n.relu()
    n.pool("pool", "AVE")
    n.ip("ip", 10)
    return n


def caffenet():
    """Return CaffeNet: AlexNet in two groups, with pooling before normalization."""
    n = Layers(3, 227, 227)
    lrn = {"local_size": 5, "alpha": 1e-4, "beta": 0.75}
    n.conv("conv1", 96, 11, stride=4)
    n.relu()
    n.pool("pool1", "MAX", 3, 2)
    n.lrn("norm1", **lrn)
    n.conv("conv2", 256, 5, pad=2, group=2)
    n.relu()
    n.pool("pool2", "MAX", 3, 2)
    n.lrn("norm2", **lrn)
    for name, filters, group in (("conv3", 384, 1), ("conv4", 384, 2), ("conv5", 256, 2)):
        n.conv(name, filters, 3, pad=1, group=group)
        n.relu()
    n.pool("pool5", "MAX", 3, 2)
    _classifier(n)
    return n


def _classifier(n):
    for name in ("fc6", "fc7"):
        n.ip(name, 4096)
        n.relu()
        n.in_place("Dropout", dropout_param={"dropout_ratio": 0.5})
    n.ip("fc8", 1000)


def squeezenet():
    """Return SqueezeNet v1.0, with the layer names of Han's compressed model."""
    n = Layers(3, 227, 227)
    n.conv("conv1", 96, 7, stride=2)
    n.relu()
    n.pool("pool1", "MAX", 3, 2)
    for i, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
        n.conv(f"fire{i}/conv1x1_1", squeeze, 1)
        squeezed = n.relu()
        n.conv(f"fire{i}/conv1x1_2", 4 * squeeze, 1, bottom=squeezed)
        small = n.relu()
        n.conv(f"fire{i}/conv3x3_2", 4 * squeeze, 3, bottom=squeezed, pad=1)
        large = n.relu()
        n.concat(f"fire{i}/concat", small, large)
        if i in (4, 8):
            n.pool(f"pool{i}", "MAX", 3, 2)
    n.in_place("Dropout", dropout_param={"dropout_ratio": 0.5})
    n.conv("conv10", 1000, 1, pad=1)
    n.relu()
    n.pool("pool10", "AVE")
    return n


def vgg16():
    """Return VGG-16."""
    n = Layers(3, 224, 224)
    for stage, (filters, convs) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for i in range(1, convs + 1):
            n.conv(f"conv{stage}_{i}", filters, 3, pad=1)
            n.relu()
        n.pool(f"pool{stage}", "MAX", 2, 2)
    _classifier(n)
    return n


NETS = {f.__name__: f for f in (lenet, cifar_quick, cifar_full, resnet20, caffenet, squeezenet)}
NETS["vgg16"] = vgg16
