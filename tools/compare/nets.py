"""The nets: together every type of BVLC Caffe 1.0 that draws no random numbers and reads no images.

An input is its shape and what fills it: "normal", "positive", "unit" (0 to 1), "sign" (0 or 1),
"bits" (0 or 1, the first row 0), or the number of labels to draw from.

Left out is what BVLC Caffe gets wrong in place: LRN across channels, Power, what follows a layer
whose backward pass reads its top, and what follows a Concat of one bottom.
"""

from dataclasses import dataclass, field

# So small that nobody sees where it is added.
EPS = "eps: 1e-8"
BATCH_NORM = f"batch_norm_param {{ {EPS} }}"


@dataclass
class CompareNet:
    """A net to run on both sides."""

    inputs: dict
    layers: list = field(default_factory=list)
    has_loss: bool = False  # else the gradients of the outputs are given
    has_backward: bool = True
    is_sparse: bool = False  # also run with sparse weights, in every conv_mode, and compact

    def add(self, kind, bottoms, tops, more="", name=""):
        """Add a layer, and return the net."""
        number = len(self.layers)
        lines = [f"layer {{ name: '{name or f'{kind}{number}'}' type: '{kind}'"]
        lines += [f"bottom: '{blob}'" for blob in bottoms.split()]
        lines += [f"top: '{blob}'" for blob in tops.split()]
        self.layers.append(" ".join([*lines, more, "}"]))
        return self

    def conv(self, bottoms, tops, more, name="", kind="Convolution"):
        """Add a convolution; `more` is what stands in its convolution_param."""
        return self.add(kind, bottoms, tops, f"convolution_param {{ {more} }}", name)

    def fc(self, bottom, top, outputs, more=""):
        """Add an inner product."""
        more = f"inner_product_param {{ num_output: {outputs} {more} }}"
        return self.add("InnerProduct", bottom, top, more)

    @property
    def text(self):
        """The prototxt."""
        inputs = [
            f"layer {{ name: '{name}' type: 'Input' top: '{name}' input_param "
            f"{{ shape {{ {' '.join(f'dim: {size}' for size in shape)} }} }} }}"
            for name, (shape, _) in self.inputs.items()
        ]
        force = self.has_backward and not self.has_loss
        lines = [f"force_backward: {str(force).lower()}", *inputs, *self.layers]
        return "\n".join(lines) + "\n"


def images(*shape):
    """Return an input x of normal numbers."""
    return {"x": (shape or (2, 8, 9, 7), "normal")}


def convolutions():
    """2-D: grouped, dilated, strided, oblong, 1x1, several bottoms, as N-D."""
    net = CompareNet({**images(), "z": ((2, 8, 9, 7), "normal")}, is_sparse=True)
    net.conv("x", "a", "num_output: 12 kernel_size: 3 pad: 1")
    net.conv("a", "b", "num_output: 16 kernel_size: 3 pad: 2 dilation: 2 group: 4")
    net.conv(
        "x z",
        "c1 c2",
        "num_output: 5 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 1",
    )
    net.conv("b", "d", "num_output: 20 kernel_size: 1 bias_term: false")
    net.conv("d", "e", "num_output: 6 kernel_size: 5 pad: 2 stride: 2 group: 2")
    net.conv("e", "f", "num_output: 4 kernel_size: 3 pad: 1 force_nd_im2col: true")
    return net.add("Concat", "c1 c2", "g").add("ReLU", "g", "g")


def volumes():
    """3-D and 1-D convolutions."""
    net = CompareNet({**images(2, 4, 5, 6, 4), "s": ((3, 4, 20), "normal")})
    net.conv("x", "a", "num_output: 6 kernel_size: 3 pad: 1 stride: 2 group: 2")
    net.conv("a", "b", "num_output: 3 kernel_size: 2 stride: 2", kind="Deconvolution")
    net.conv("s", "c", "num_output: 8 kernel_size: 5 pad: 2 stride: 2")
    net.conv("c", "d", "num_output: 4 kernel_size: 3 dilation: 2")
    net.conv("x", "e", "num_output: 5 kernel_size: 2 pad: 1 dilation: 2")
    return net.add("ELU", "e", "e").add("Bias", "d", "h").fc("h", "i", 5)


def deconvolutions():
    """Upsampling paths, with Crop."""
    net = CompareNet(images())
    net.conv("x", "a", "num_output: 8 kernel_size: 3 stride: 2 pad: 1")
    net.conv(
        "a", "b", "num_output: 8 kernel_size: 4 stride: 2 pad: 1 group: 8", kind="Deconvolution"
    )
    net.conv("a", "c", "num_output: 6 kernel_size: 3 stride: 3 dilation: 2", kind="Deconvolution")
    net.conv(
        "a", "d", "num_output: 4 kernel_size: 3 bias_term: false group: 2", kind="Deconvolution"
    )
    net.add("Scale", "d", "d").add("ReLU", "d", "d")
    net.add("Crop", "c b", "e", "crop_param { axis: 2 offset: 2 offset: 3 }")
    net.add("Crop", "x a", "f", "crop_param { axis: 3 offset: 1 }")
    return net.add("Concat", "e b", "g").add("TanH", "g", "h")


def poolings():
    """All of Pooling but STOCHASTIC, and SPP."""
    net = CompareNet(images(2, 3, 11, 8))
    options = (
        "kernel_size: 3 stride: 2",
        "kernel_size: 3 stride: 2 pad: 1",
        "kernel_h: 2 kernel_w: 4 stride_h: 1 stride_w: 3 pad_h: 0 pad_w: 1",
        "kernel_size: 3 stride: 2 round_mode: FLOOR",
        "kernel_size: 4 stride: 3 pad: 2",
        "global_pooling: true",
    )
    for method in ("MAX", "AVE"):
        for i, option in enumerate(options):
            more = f"pooling_param {{ pool: {method} {option} }}"
            net.add("Pooling", "x", f"{method}{i}", more)
    net.add("Pooling", "x", "p mask", f"pooling_param {{ pool: MAX {options[1]} }}")
    net.add("Silence", "mask", "")
    net.add("SPP", "x", "spp", "spp_param { pyramid_height: 3 pool: MAX }")
    net.add("SPP", "x", "spp2", "spp_param { pyramid_height: 2 pool: AVE }")
    return net.add("Concat", "MAX1 AVE1", "y")


def normalizations():
    """LRN, BatchNorm, MVN, Scale and Bias."""
    net = CompareNet(images(3, 6, 5, 4))
    net.add("LRN", "x", "a", "lrn_param { local_size: 3 alpha: 0.9 beta: 0.6 k: 2 }")
    net.add("LRN", "x", "b", "lrn_param { local_size: 5 alpha: 0.9 norm_region: WITHIN_CHANNEL }")
    net.add("BatchNorm", "x", "c", BATCH_NORM).add(
        "Scale", "c", "c", "scale_param { bias_term: true }"
    )
    net.add("BatchNorm", "b", "b", "batch_norm_param { use_global_stats: true eps: 0.01 }")
    net.add("BatchNorm", "a", "d", f"batch_norm_param {{ use_global_stats: false {EPS} }}")
    net.add("MVN", "x", "e").add("MVN", "x", "f", "mvn_param { across_channels: true }")
    net.add("MVN", "d", "g", "mvn_param { normalize_variance: false }")
    net.add("Scale", "c", "h", "scale_param { axis: 0 num_axes: 2 }")
    net.add("Scale", "h", "h", "scale_param { axis: -1 bias_term: true }")
    net.add("Scale", "e", "i", "scale_param { num_axes: 0 }")
    net.add("Bias", "f", "f2", "bias_param { axis: 1 num_axes: -1 }")
    net.add("Reduction", "g", "r", "reduction_param { axis: 1 operation: MEAN }")
    return net.add("Scale", "x r", "j", "scale_param { axis: 0 }").add(
        "Bias", "i r", "k", "bias_param { axis: 0 }"
    )


def neurons():
    """Layers that work element by element."""
    net = CompareNet({**images(3, 4, 5), "p": ((3, 4, 5), "positive")})
    net.add("AbsVal", "x", "a").add("BNLL", "x", "b").add("TanH", "x", "c").add("Sigmoid", "x", "d")
    net.add("ELU", "x", "e", "elu_param { alpha: 0.7 }").add("PReLU", "x", "f")
    net.add("PReLU", "x", "g", "prelu_param { channel_shared: true }")
    net.add("ReLU", "x", "h", "relu_param { negative_slope: 0.2 }").add("ReLU", "d", "d")
    net.add("Exp", "x", "i", "exp_param { base: 2 scale: 0.5 shift: 1 }").add("Exp", "c", "c2")
    net.add("Log", "p", "j").add("Log", "p", "k", "log_param { base: 10 scale: 2 shift: 0.5 }")
    net.add("Power", "p", "l", "power_param { power: 1.7 scale: 0.5 shift: 1 }")
    net.add("Power", "x", "m", "power_param { power: 2 }").add("Power", "x", "n", "power_param {}")
    net.add("Swish", "x", "o", "swish_param { beta: 1.5 }")
    net.add("Sigmoid", "h", "h").add("TanH", "f", "f").add("ELU", "g", "g")
    more = "include { phase: TEST } dropout_param { dropout_ratio: 0.4 }"
    return net.add("Dropout", "m", "q", more)


def combinations():
    """Eltwise, Concat, Slice, Tile, Reduction."""
    shape = (4, 6, 5, 3)
    net = CompareNet(dict.fromkeys("xyz", (shape, "normal")))
    net.add("Eltwise", "x y z", "a", "eltwise_param { coeff: 0.5 coeff: -1 coeff: 2 }")
    net.add("Eltwise", "x y z", "b", "eltwise_param { operation: PROD }")
    more = "eltwise_param { operation: PROD stable_prod_grad: false }"
    net.add("Eltwise", "x y", "c", more)
    net.add("Eltwise", "x y z", "d", "eltwise_param { operation: MAX }")
    net.add("Eltwise", "x x", "e").add("Eltwise", "e x", "e2", "eltwise_param { operation: PROD }")
    net.add("Concat", "x y", "f", "concat_param { axis: 0 }")
    net.add("Concat", "x y x", "g", "concat_param { axis: -1 }").add("Concat", "f f", "g2")
    more = "slice_param { axis: 1 slice_point: 1 slice_point: 3 }"
    net.add("Slice", "z", "h1 h2 h3", more).add("Slice", "a", "i1 i2", "slice_param { axis: 0 }")
    net.add("Concat", "h2 h1", "h4").add("Eltwise", "i1 i2", "i3")
    net.add("Tile", "x", "j", "tile_param { tiles: 3 }")
    net.add("Tile", "y", "k", "tile_param { axis: 2 tiles: 2 }")
    for i, operation in enumerate(("SUM", "ASUM", "SUMSQ", "MEAN")):
        more = f"reduction_param {{ operation: {operation} axis: {i - 1} coeff: 0.7 }}"
        net.add("Reduction", "b", f"r{i}", more)
    return net


def shapes():
    """Layers that move numbers or share them."""
    net = CompareNet({**images(4, 6, 5, 3)})
    net.add("Scale", "x", "s").add("Flatten", "s", "a")
    net.add("Flatten", "x", "b", "flatten_param { axis: 2 end_axis: -1 }")
    net.add("Reshape", "x", "c", "reshape_param { shape { dim: 0 dim: -1 dim: 5 } }")
    more = "reshape_param { shape { dim: 3 dim: 2 } axis: 1 num_axes: 1 }"
    net.add("Reshape", "x", "d", more)
    net.add("Split", "x", "e1 e2").add("Sigmoid", "e1", "e3").add("Power", "e2", "e4")
    net.add("Im2col", "x", "f", "convolution_param { kernel_size: 3 pad: 1 stride: 2 }")
    more = "dummy_data_param { shape { dim: 4 dim: 6 dim: 5 dim: 3 } data_filler { value: 0.3 } }"
    net.add("DummyData", "", "dummy", more).add("Eltwise", "x dummy", "h")
    more = "parameter_param { shape { dim: 4 dim: 6 dim: 5 dim: 3 } }"
    return net.add("Parameter", "", "p", more).add("Eltwise", "x p", "i")


def selections():
    """Layers without a gradient, or with one that BVLC Caffe does not give to every bottom."""
    net = CompareNet({**images(4, 6, 5), "pick": ((4,), "bits")}, has_backward=False)
    net.add("ArgMax", "x", "a").add(
        "ArgMax", "x", "b", "argmax_param { out_max_val: true top_k: 3 }"
    )
    net.add("ArgMax", "x", "c", "argmax_param { axis: 1 top_k: 2 }")
    net.add("ArgMax", "x", "d", "argmax_param { axis: -1 out_max_val: true }")
    net.add("Threshold", "x", "e", "threshold_param { threshold: 0.3 }")
    return net.add("Filter", "x e pick", "f g").add("Softmax", "f", "h")


def recurrences():
    """RNN, LSTM and LSTMUnit."""
    inputs = {"x": ((5, 3, 4), "normal"), "cont": ((5, 3), "bits"), "static": ((3, 2), "normal")}
    inputs |= {"c": ((1, 3, 4), "normal"), "g": ((1, 3, 16), "normal"), "on": ((1, 3), "sign")}
    net = CompareNet(inputs)
    net.add("LSTM", "x cont", "a", "recurrent_param { num_output: 6 }")
    net.add("LSTM", "a cont static", "b", "recurrent_param { num_output: 3 }")
    net.add("RNN", "x cont", "d", "recurrent_param { num_output: 5 }")
    net.add("RNN", "d cont static", "e", "recurrent_param { num_output: 4 }")
    return (
        net.add("LSTMUnit", "c g on", "c2 h2").add("Sigmoid", "b", "f").fc("e", "y", 3, "axis: 2")
    )


def embeddings():
    """Embed, InnerProduct of every kind, Softmax along axes."""
    inputs = {
        **images(3, 4, 5),
        "words": ((6, 2), 9),
        "w": ((3, 8, 4, 4), "normal"),
        "rows": ((7,), 3),
    }
    net = CompareNet(inputs, has_loss=True)
    net.add("Embed", "words", "a", "embed_param { num_output: 7 input_dim: 9 }")
    net.add("Embed", "words", "b", "embed_param { num_output: 5 input_dim: 9 bias_term: false }")
    net.fc("a", "c", 4, "axis: 2").fc("x", "d", 6, "transpose: true").fc("w", "e", 8)
    net.fc("x", "f", 3, "axis: -1 bias_term: false").add("ReLU", "d", "d").add("ReLU", "e", "e")
    net.add("Softmax", "c", "g", "softmax_param { axis: 0 }").add("Softmax", "f", "h")
    net.add("Softmax", "e", "i").add("BatchReindex", "e rows", "j")
    for blob in "bdghij":
        more = "reduction_param { operation: SUMSQ } loss_weight: 0.7"
        net.add("Reduction", blob, f"loss_{blob}", more)
    return net


def classifications():
    """Losses of classes, each normalization, and Accuracy."""
    inputs = {**images(4, 5, 3, 2), "label": ((4, 3, 2), 6), "one": ((4,), 6)}
    inputs["H"] = ((1, 1, 6, 6), "unit")
    net = CompareNet(inputs, has_loss=True)
    net.conv("x", "a", "num_output: 6 kernel_size: 1").fc("x", "b", 6)
    for normalization in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        more = f"loss_param {{ ignore_label: 2 normalization: {normalization} }} loss_weight: 0.5"
        net.add("SoftmaxWithLoss", "a label", f"softmax_{normalization}", more)
        net.add("InfogainLoss", "a label H", f"infogain_{normalization}", more)
    net.add("SoftmaxWithLoss", "b one", "s").add("Softmax", "b", "c")
    net.add("SoftmaxWithLoss", "a label", "old", "loss_param { normalize: false }")
    net.add("MultinomialLogisticLoss", "c one", "m").add("HingeLoss", "b one", "h1")
    net.add("HingeLoss", "b one", "h2", "hinge_loss_param { norm: L2 } loss_weight: 2")
    net.add("Accuracy", "b one", "acc", "accuracy_param { top_k: 2 }")
    more = "accuracy_param { axis: 1 ignore_label: 2 }"
    return net.add("Accuracy", "a label", "acc2 each", more)


def regressions():
    """Losses of numbers."""
    inputs = {**images(4, 5), "t": ((4, 6), "normal"), "bits": ((4, 6), 3), "same": ((4,), "sign")}
    net = CompareNet(inputs, has_loss=True)
    net.fc("x", "a", 6).fc("x", "b", 6)
    net.add("EuclideanLoss", "a t", "l1").add("EuclideanLoss", "a b", "l2", "loss_weight: 0.3")
    for normalization in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        more = f"loss_param {{ ignore_label: 2 normalization: {normalization} }}"
        net.add("SigmoidCrossEntropyLoss", "a bits", f"s_{normalization}", more)
    net.add("ContrastiveLoss", "a b same", "c1", "contrastive_loss_param { margin: 6 }")
    more = "contrastive_loss_param { margin: 9 legacy_version: true } loss_weight: 0.1"
    net.add("ContrastiveLoss", "a b same", "c2", more)
    return net.add("Reduction", "b", "r", "loss_weight: 0.2")


def residual():
    """Everything that fusion looks for, in a small residual net."""
    net = CompareNet(images(2, 8, 8, 8), is_sparse=True)
    same = "num_output: 8 kernel_size: 3 pad: 1"
    net.conv("x", "a", f"{same} bias_term: false").add("BatchNorm", "a", "a", BATCH_NORM)
    net.add("Scale", "a", "a", "scale_param { bias_term: true }").add("ReLU", "a", "a")
    net.conv("a", "b", same).add("BatchNorm", "b", "b2", BATCH_NORM).add("Scale", "b2", "b3")
    net.add("Eltwise", "a b3", "c").add("ReLU", "c", "c")
    net.conv("c", "d", same + " group: 2").conv("c", "e", "num_output: 8 kernel_size: 1")
    net.add("Eltwise", "d e", "f").add("ReLU", "f", "f2").add("Eltwise", "f2 f2", "g")
    net.add("Scale", "g", "g", "scale_param { axis: 0 num_axes: 2 }")
    net.conv("g", "h", "num_output: 16 kernel_size: 3 stride: 2").add("ReLU", "h", "h")
    net.conv("g", "i", "num_output: 4 kernel_size: 3 stride: 2")
    net.add("Concat", "h i", "j").add("Concat", "j h", "k")
    net.conv("k", "l", "num_output: 6 kernel_size: 3 stride: 2", kind="Deconvolution")
    net.add("BatchNorm", "l", "l", BATCH_NORM).add("ReLU", "l", "l")
    net.add("Pooling", "k", "m", "pooling_param { pool: AVE global_pooling: true }")
    return net.fc("m", "n", 10).add("ReLU", "n", "n").add("Softmax", "n", "prob")


def classifier():
    """AlexNet in small: LRN, groups, poolings, inner products."""
    net = CompareNet(images(8, 3, 19, 19), is_sparse=True)
    net.conv("x", "a", "num_output: 16 kernel_size: 5 stride: 2").add("ReLU", "a", "a")
    net.add("LRN", "a", "b").add("Pooling", "b", "c", "pooling_param { kernel_size: 3 stride: 2 }")
    net.conv("c", "d", "num_output: 24 kernel_size: 3 pad: 1 group: 2").add("ReLU", "d", "d")
    net.add("LRN", "d", "e", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }")
    net.conv("e", "f", "num_output: 8 kernel_size: 3 pad: 2 dilation: 2").add("PReLU", "f", "f")
    net.fc("f", "g", 32).add("ReLU", "g", "g")
    net.add("Dropout", "g", "g", "include { phase: TEST }").fc("g", "h", 16)
    net.add("BatchNorm", "h", "h", BATCH_NORM).add("Scale", "h", "h").add("ReLU", "h", "h")
    return net.fc("h", "i", 10, "transpose: true").add("Softmax", "i", "prob")


def siamese():
    """Weights shared by name, between two towers of convolutions."""
    inputs = {"x": ((2, 4, 6, 6), "normal"), "y": ((2, 4, 6, 6), "normal")}
    net = CompareNet({**inputs, "same": ((2,), "sign")}, has_loss=True, is_sparse=True)
    for blob in "xy":
        shared = "param { name: 'w1' } param { name: 'b1' }"
        more = f"convolution_param {{ num_output: 8 kernel_size: 3 }} {shared}"
        net.add("Convolution", blob, f"{blob}1", more).add("ReLU", f"{blob}1", f"{blob}1")
        shared = "param { name: 'w2' } param { name: 'b2' lr_mult: 2 }"
        more = f"inner_product_param {{ num_output: 5 }} {shared}"
        net.add("InnerProduct", f"{blob}1", f"{blob}2", more)
    return net.add("ContrastiveLoss", "x2 y2 same", "loss")


NETS = {
    make.__name__: make
    for make in (
        convolutions,
        volumes,
        deconvolutions,
        poolings,
        normalizations,
        neurons,
        combinations,
        shapes,
        selections,
        recurrences,
        embeddings,
        classifications,
        regressions,
        residual,
        classifier,
        siamese,
    )
}
