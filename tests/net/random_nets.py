"""Random small nets, and weights with zeros for them, to try execution plans on."""

from dataclasses import dataclass, field

import numpy as np

MODES = ("", "", "", "AUTO", "LOWERED_GEMM", "LOWERED_CSRMM", "LOWERED_CCNMM", "DIRECT_SCONV")
NEURONS = {
    "ReLU": ("", "", "", "relu_param { negative_slope: 0.1 }"),
    "PReLU": ("", "prelu_param { channel_shared: true }"),
    "ELU": ("", "elu_param { alpha: 0.5 }"),
    "TanH": ("",),
    "Sigmoid": ("",),
    "AbsVal": ("",),
    "Power": ("power_param { power: 2 scale: 0.3 shift: 0.5 }",),
    "Dropout": ("", "dropout_param { dropout_ratio: 0.3 }"),
    "BatchNorm": ("", "", "", "batch_norm_param { use_global_stats: false }"),
    "LRN": (
        "lrn_param { local_size: 3 alpha: 0.5 }",
        "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }",
    ),
}


@dataclass
class Made:
    """A blob that exists so far."""

    name: str
    shape: tuple
    readers: int = 0
    shared: bool = False  # its array is another blob's too


@dataclass
class RandomNet:
    """A net that grows layer by layer; `text` is its prototxt.

    Its inputs are (2, 8, 6, 6); another image or batch size will do unless `has_fixed_image` or
    `has_fixed_batch`.
    """

    rng: np.random.Generator
    text: str = ""
    blobs: list = field(default_factory=list)
    has_fixed_image: bool = False
    has_fixed_batch: bool = False
    count: int = 0
    weight_names: dict = field(default_factory=dict)

    def grow(self, layers):
        for name in ("x", "z")[: self.rng.integers(1, 3)]:
            self.text += (
                f"layer {{ name: '{name}' type: 'Input' top: '{name}' input_param "
                "{ shape { dim: 2 dim: 8 dim: 6 dim: 6 } } }\n"
            )
            self.blobs.append(Made(name, (2, 8, 6, 6)))
        makers = (
            [self.convolution] * 6
            + [self.neuron] * 5
            + [self.chain] * 4
            + [self.eltwise] * 4
            + [self.scale, self.pooling, self.concat, self.sharing, self.bias]
            + [self.inner_product, self.slices, self.softmax, self.source, self.deconvolution]
        )
        while self.count < layers:
            self.pick(makers)()
        return self

    def pick(self, choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, probability):
        return self.rng.random() < probability

    def bottom(self, accept=lambda made: True):
        """Return a blob, a late one rather than an early one; None if there is none."""
        fitting = [made for made in self.blobs if accept(made)]
        if not fitting:
            return None
        late = max(0, len(fitting) - 1 - int(self.rng.exponential(1.5)))
        return fitting[late]

    def add(self, kind, bottoms, shape, more="", in_place=False):
        for made in bottoms:
            made.readers += 1
        self.count += 1
        name = f"{kind}{self.count}"
        top = bottoms[0].name if in_place else name.lower()
        names = "".join(f" bottom: '{made.name}'" for made in bottoms)
        self.text += f"layer {{ name: '{name}' type: '{kind}'{names} top: '{top}' {more} }}\n"
        if in_place:
            bottoms[0].readers = 0
            self.blobs.remove(bottoms[0])  # and behind the others again, as the latest
            self.blobs.append(bottoms[0])
        else:
            self.blobs.append(Made(top, shape))
        return self.blobs[-1]

    def may_change(self, made):
        return not (made.readers or made.shared) and self.chance(0.6)

    # Layers.

    def convolution(self, made=None):
        made = made or self.bottom(lambda m: len(m.shape) == 4 and min(m.shape) > 0)
        if made is None:
            return None
        batch, channels, height, width = made.shape
        outputs = int(self.pick((channels, channels, 1, 3, 4, 8, 16, 20)))
        group = int(self.pick([g for g in (1, 1, 1, 2, 4) if channels % g == outputs % g == 0]))
        kernel, dilation, stride = int(self.pick((1, 3, 3))), 1, 1
        if kernel == 3 and self.chance(0.2):
            dilation = 2
        if self.chance(0.15):
            stride = 2
        pad = dilation * (kernel // 2)
        bias, mode = not self.chance(0.3), self.pick(MODES)
        more = (
            f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {pad} "
            f"stride: {stride} dilation: {dilation} group: {group} "
            f"bias_term: {str(bias).lower()} {f'conv_mode: {mode}' if mode else ''} }}"
        )
        if self.chance(0.2):
            key = f"w{outputs}_{channels // group}_{kernel}"
            more += f" param {{ name: '{key}' }}"
        sizes = [(size - 1) // stride + 1 for size in (height, width)]
        return self.add("Convolution", [made], (batch, outputs, *sizes), more)

    def chain(self):
        """Add what fusion looks for: a convolution, what is affine, a sum, a rectifier."""
        made = self.convolution()
        if made is None:
            return
        for kind in ("BatchNorm", "Scale", "Eltwise", "Dropout", "ReLU"):
            if self.chance(0.6):
                if kind == "Eltwise":
                    made = self.eltwise(made)
                elif kind == "Scale":
                    made = self.scale(made)
                else:
                    made = self.neuron(made, kind)

    def neuron(self, made=None, kind=None):
        kind = kind or self.pick(list(NEURONS))
        made = made or self.bottom(lambda m: len(m.shape) >= (4 if kind == "LRN" else 2))
        if made is None:
            return None
        more = self.pick(NEURONS[kind])
        in_place = kind != "AbsVal" and self.may_change(made)
        return self.add(kind, [made], made.shape, more, in_place)

    def scale(self, made=None):
        made = made or self.bottom(lambda m: len(m.shape) >= 2)
        axis, bias = self.pick((1,) * 8 + (0, -1)), str(self.chance(0.5)).lower()
        more = f"scale_param {{ axis: {axis} bias_term: {bias} }}"
        self.has_fixed_batch |= bool(axis == 0)
        self.has_fixed_image |= bool(axis == -1)
        return self.add("Scale", [made], made.shape, more, self.may_change(made))

    def bias(self):
        made = self.bottom(lambda m: len(m.shape) >= 2)
        return self.add("Bias", [made], made.shape, "", self.may_change(made))

    def eltwise(self, made=None):
        made = made or self.bottom(lambda m: len(m.shape) >= 2)
        others = [m for m in self.blobs if m.shape == made.shape]
        bottoms = [made, self.pick(others)]
        if self.chance(0.15):
            bottoms.append(self.pick(others))
        if self.chance(0.5):
            bottoms.reverse()
        more = self.pick(("", "", "", "operation: PROD", "operation: MAX"))
        if self.chance(0.2):
            more = self.pick(("operation: PROD stable_prod_grad: false", "coeff"))
        if more == "coeff":
            more = "".join(f"coeff: {self.pick((0.5, -1, 1))} " for _ in bottoms)
        return self.add("Eltwise", bottoms, made.shape, f"eltwise_param {{ {more} }}")

    def pooling(self):
        made = self.bottom(lambda m: len(m.shape) == 4 and min(m.shape[2:]) >= 2)
        if made is None:
            return
        method, batch, channels = self.pick(("MAX", "AVE")), *made.shape[:2]
        if self.chance(0.2):
            more = f"pooling_param {{ pool: {method} global_pooling: true }}"
            self.add("Pooling", [made], (batch, channels, 1, 1), more)
            return
        kernel, stride, pad, rounds = self.pick(
            ((3, 1, 1, "CEIL"), (2, 2, 0, "CEIL"), (3, 2, 0, "FLOOR"), (2, 2, 1, "CEIL"))
        )
        more = (
            f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} "
            f"round_mode: {rounds} }}"
        )
        sizes = [_pooled(size, kernel, stride, pad, rounds) for size in made.shape[2:]]
        if min(sizes) > 0:
            self.add("Pooling", [made], (batch, channels, *sizes), more)

    def concat(self):
        made = self.bottom(lambda m: len(m.shape) >= 2)
        axis = int(self.pick((1, 1, 1, 0)))
        rest = [size for i, size in enumerate(made.shape) if i != axis]
        fitting = [
            m
            for m in self.blobs
            if len(m.shape) == len(made.shape)
            and [size for i, size in enumerate(m.shape) if i != axis] == rest
        ]
        bottoms = [made] + [self.pick(fitting) for _ in range(self.rng.integers(0, 3))]
        shape = list(made.shape)
        shape[axis] = sum(m.shape[axis] for m in bottoms)
        self.add("Concat", bottoms, tuple(shape), f"concat_param {{ axis: {axis} }}")

    def slices(self):
        made = self.bottom(lambda m: len(m.shape) >= 2 and m.shape[1] % 2 == 0)
        if made is None:
            return
        shape = (made.shape[0], made.shape[1] // 2, *made.shape[2:])
        top = self.add("Slice", [made], shape, f"top: 'half{self.count}'")
        self.blobs.append(Made(f"half{self.count - 1}", top.shape))

    def sharing(self):
        made = self.bottom(lambda m: len(m.shape) == 4)
        if made is None:
            return
        kind = self.pick(("Flatten", "Reshape", "Split"))
        batch, channels, height, width = made.shape
        shapes = {
            "Flatten": (batch, channels * height * width),
            "Reshape": (batch, channels, height * width, 1),
            "Split": made.shape,
        }
        more = {"Reshape": "reshape_param { shape { dim: 0 dim: 0 dim: -1 dim: 1 } }"}
        top = self.add(kind, [made], shapes[kind], more.get(kind, ""))
        made.shared = top.shared = True
        self.has_fixed_image |= kind == "Flatten"

    def inner_product(self):
        made = self.bottom(lambda m: len(m.shape) >= 2)
        axis = int(self.pick((1, 1, 1, 2))) if len(made.shape) > 2 else 1
        outputs, transpose = int(self.pick((5, 8, 16))), self.chance(0.2)
        mode = self.pick(("", "", "gemm_mode: GEMM", "gemm_mode: SPMDM", "gemm_mode: CCNMM"))
        more = (
            f"inner_product_param {{ num_output: {outputs} axis: {axis} "
            f"transpose: {str(transpose).lower()} {mode} }}"
        )
        self.has_fixed_image = True
        top = self.add("InnerProduct", [made], (*made.shape[:axis], outputs), more)
        for kind in ("BatchNorm", "Eltwise", "ReLU"):
            if self.chance(0.4):
                top = self.eltwise(top) if kind == "Eltwise" else self.neuron(top, kind)

    def softmax(self):
        made = self.bottom(lambda m: len(m.shape) >= 2)
        self.add("Softmax", [made], made.shape, "", self.may_change(made))

    def source(self):
        """Add a blob that comes from nowhere, to the sum with another one."""
        made = self.bottom(lambda m: len(m.shape) == 4)
        if made is None:
            return
        self.has_fixed_image = self.has_fixed_batch = True
        shape = f"shape {{ {' '.join(f'dim: {size}' for size in made.shape)} }}"
        kind, more = self.pick(
            (
                ("Parameter", f"parameter_param {{ {shape} }}"),
                ("DummyData", f"dummy_data_param {{ {shape} data_filler {{ value: 0.7 }} }}"),
            )
        )
        top = self.add(kind, [], made.shape, more)
        top.shared = True
        self.add("Eltwise", [made, top], made.shape)

    def deconvolution(self):
        made = self.bottom(lambda m: len(m.shape) == 4)
        if made is None:
            return
        more = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }"
        self.add("Deconvolution", [made], (made.shape[0], 4, *made.shape[2:]), more)


def _pooled(size, kernel, stride, pad, rounds):
    spare = size + 2 * pad - kernel
    count = (-(-spare // stride) if rounds == "CEIL" else spare // stride) + 1
    # The last window must start within the image or its first padding.
    return count - 1 if pad and (count - 1) * stride >= size + pad else count


def random_weights(shape, rng):
    """Return weights, some of them with rows, columns or scattered numbers that are 0."""
    weights = rng.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[1:]))) + 1)
    if len(shape) < 2:
        return 0.3 * weights
    rows, columns = rng.random(shape[0]), rng.random(shape[1:])
    kind = rng.integers(6)
    if kind == 1:
        weights[rows < 0.5] = 0
    elif kind == 2:
        weights *= columns < 0.5
    elif kind == 3:
        weights *= rng.random(shape) < 0.2
    elif kind == 4:
        weights[rows < 0.4] = 0
        weights *= (columns < 0.6) * (rng.random(shape) < 0.7)
    elif kind == 5 and rng.random() < 0.3:
        weights[...] = 0
    return weights
