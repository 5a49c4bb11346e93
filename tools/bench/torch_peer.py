"""PyTorch as a contestant: "torch", with "nhwc" and (for training) "fused" as settings."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.inputs import image_batch, label_batch, save_output
from bench.nets import NETS


class WithinChannel(nn.Module):
    """Local response normalization over a square of each channel, which PyTorch lacks."""

    def __init__(self, local_size, alpha, beta, norm_region):
        super().__init__()
        self.pool = nn.AvgPool2d(local_size, 1, local_size // 2)
        self.alpha, self.beta = alpha, beta

    def forward(self, x):
        """Normalize."""
        return x / (1 + self.alpha * self.pool(x * x)).pow(self.beta)


def _pooling(p):
    if p.get("global_pooling"):
        return nn.AdaptiveAvgPool2d(1)
    kind = nn.MaxPool2d if p["pool"] == "MAX" else nn.AvgPool2d
    return kind(p["kernel_size"], p["stride"], ceil_mode=True)


def _module(layer):
    p, channels = layer.param(), layer.bottom_shape[0]
    if layer.type == "Convolution":
        sizes = (p.get("stride", 1), p.get("pad", 0), 1, p.get("group", 1), p["bias_term"])
        return nn.Conv2d(channels, p["num_output"], p["kernel_size"], *sizes)
    if layer.type == "InnerProduct":
        linear = nn.Linear(int(np.prod(layer.bottom_shape)), p["num_output"])
        return nn.Sequential(nn.Flatten(), linear) if len(layer.bottom_shape) > 1 else linear
    if layer.type == "LRN":
        if "norm_region" in p:
            return WithinChannel(**p)
        return nn.LocalResponseNorm(p["local_size"], p["alpha"], p["beta"])
    return {
        "Pooling": lambda: _pooling(p),
        "ReLU": lambda: nn.ReLU(inplace=True),
        "BatchNorm": lambda: nn.BatchNorm2d(channels),  # with the Scale that follows it
        "Dropout": lambda: nn.Dropout(p["dropout_ratio"]),
        "Eltwise": lambda: torch.add,
        "Concat": lambda: lambda *x: torch.cat(x, 1),
    }[layer.type]()


class TorchNet(nn.Module):
    """The net; a blob that nobody reads any more is let go."""

    def __init__(self, net):
        super().__init__()
        self.steps, read_later = [], {net.last}
        for layer in reversed([layer for layer in net.list if layer.type != "Scale"]):
            dead = set(layer.bottoms) - read_later - {layer.top}
            read_later.update(layer.bottoms)
            self.steps.append((_module(layer), layer, dead))
        self.steps.reverse()
        self.held = nn.ModuleList(m for m, *_ in self.steps if isinstance(m, nn.Module))

    def forward(self, x):
        """Return the scores."""
        blobs = {"data": x}
        for run, layer, dead in self.steps:
            blobs[layer.top] = run(*(blobs[name] for name in layer.bottoms))
            for name in dead:
                del blobs[name]
        return blobs[layer.top].flatten(1)

    def load(self, arrays):
        """Take Caffe's blobs."""
        layers = [layer for module, layer, _ in self.steps if isinstance(module, nn.Module)]
        state = {}
        for index, (module, layer) in enumerate(zip(self.held, layers, strict=True)):
            if layer.type == "BatchNorm":
                factor = arrays[f"{layer.name}/2"]
                state[f"held.{index}.running_mean"] = arrays[f"{layer.name}/0"] / factor
                state[f"held.{index}.running_var"] = arrays[f"{layer.name}/1"] / factor
            name = layer.name.replace("_batchnorm", "_scale")
            for i, (key, _) in enumerate(module.named_parameters()):
                state[f"held.{index}.{key}"] = arrays[f"{name}/{i}"]
        state = {key: torch.from_numpy(array) for key, array in state.items()}
        self.load_state_dict(state, strict=False, assign=True)


def infer(spec):
    """Return a function that takes the images from an array and the results to an array."""
    torch.set_num_threads(spec["threads"])
    with torch.device("meta"):
        net = TorchNet(NETS[spec["net"]]()).eval()
    net.load(np.load(Path(spec["folder"], "weights.npz")))
    layout = torch.channels_last if "nhwc" in spec["contestant"] else torch.contiguous_format
    net = net.to(memory_format=layout)
    images = image_batch(spec)

    @torch.inference_mode()
    def run():
        x = torch.from_numpy(images).to(memory_format=layout)
        return functional.softmax(net(x), 1).numpy()

    save_output(spec, run())
    return run


def train(spec):
    """Return a function that does one step."""
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    net = TorchNet(NETS[spec["net"]]()).train()
    words = spec["contestant"]
    layout = torch.channels_last if "nhwc" in words else torch.contiguous_format
    net = net.to(memory_format=layout)
    images = torch.from_numpy(image_batch(spec)).to(memory_format=layout)
    labels = torch.from_numpy(label_batch(spec))
    rule = torch.optim.SGD(
        net.parameters(), 0.001, 0.9, weight_decay=0.0005, fused="fused" in words
    )

    def step():
        rule.zero_grad(set_to_none=True)
        functional.cross_entropy(net(images), labels).backward()
        rule.step()

    return step
