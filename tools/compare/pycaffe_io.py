"""Both sides of tools/compare_pycaffe.py: python -m compare.pycaffe_io FOLDER THEIRS|OURS.

Everything goes to FOLDER/theirs.npz or ours.npz: arrays, and texts as arrays of bytes.
"""

import os
import random
import sys
from pathlib import Path

import numpy as np

os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112 - glog spells it so


class _Whole(np.ndarray):
    """An image that may be cut by floats; pycaffe's crop() does so, and NumPy no longer lets it."""

    def __getitem__(self, key):
        if isinstance(key, tuple) and all(isinstance(k, slice) for k in key):
            key = tuple(
                slice(*(None if e is None else int(e) for e in (k.start, k.stop))) for k in key
            )
        return np.asarray(super().__getitem__(key))


def images(io, smooths):
    """Resize, oversample and transform random images."""
    rng = np.random.default_rng(3)
    sizes = [(5, 7), (12, 9), (1, 6), (31, 31)]
    for channels in (1, 3, 2, 5):
        for old in sizes:
            image = rng.normal(size=(*old, channels)).astype(np.float32)
            for new in ((4, 4), (10, 14), (9, 20), (12, 9)):
                for order in (0, 1, 3) if min(*old, *new) > 3 else (0, 1):
                    name = f"resize {old} {new} {channels} {order}"
                    if channels in (2, 5) and smooths:
                        continue
                    extra = {"mode": "constant"} if smooths == "ours" else {}
                    yield f"{name} {bool(smooths)}", io.resize_image(image, new, order, **extra)
    if smooths:
        return
    yield "constant", io.resize_image(np.full((4, 4, 3), 7.0), (2, 3))
    for size, crop in (((9, 8), (4, 4)), ((7, 7), (4, 3)), ((5, 5), (5, 5))):
        batch = [rng.random((*size, 3)) for _ in range(3)]
        yield f"oversample {size} {crop}", io.oversample(batch, crop)


def transformers(io):
    """Every set of options, forwards and backwards."""
    rng = np.random.default_rng(4)
    for channels in (1, 3):
        for options in range(64):
            t = io.Transformer({"data": (2, channels, 6, 8)})
            transposes = options & 1
            if transposes:
                t.set_transpose("data", (2, 0, 1))
            if options & 2 and transposes:
                t.set_channel_swap("data", (2, 1, 0)[-channels:])
            if options & 4:
                t.set_raw_scale("data", 255)
            if options & 8 and transposes:
                t.set_mean("data", rng.random(channels) * 100)
            if options & 16:
                t.set_input_scale("data", 0.017)
            if options & 32 and transposes:
                shape = [(channels, 6, 8), (channels, 11, 5)][options >> 1 & 1]
                t.set_mean("data", rng.random(shape) * 100)
            size = (6, 8) if options & 16 else (9, 13)
            image = rng.random((*size, channels)).astype(np.float32)
            made = t.preprocess("data", image.copy())
            yield f"preprocess {channels} {options}", made
            if channels > 1:
                yield f"deprocess {channels} {options}", t.deprocess("data", made[None])


def files(io, folder):
    """Read image files; round trips of messages."""
    for path in sorted(Path(folder, "images").iterdir()):
        for color in (True, False):
            yield f"load {path.name} {color}", io.load_image(str(path), color)
    rng = np.random.default_rng(5)
    for shape in ((2, 3), (4,), (2, 3, 4, 5), ()):
        array = rng.random(shape)
        blob = io.array_to_blobproto(array, array + 1)
        yield f"blob {shape}", io.blobproto_to_array(blob)
        yield f"diff {shape}", io.blobproto_to_array(blob, True)
        yield f"bytes {shape}", np.frombuffer(blob.SerializeToString(), np.uint8)
    arrays = [rng.random((3, 2)), rng.random(5)]
    text = io.arraylist_to_blobprotovector_str(arrays)
    yield "vector", np.frombuffer(text, np.uint8)
    for i, array in enumerate(io.blobprotovector_str_to_arraylist(text)):
        yield f"vector {i}", array
    for array in (rng.random((3, 2, 2)), rng.integers(0, 255, (3, 4, 5)).astype(np.uint8)):
        datum = io.array_to_datum(array, 3)
        yield f"datum {array.dtype}", io.datum_to_array(datum)
        yield f"datum bytes {array.dtype}", np.frombuffer(datum.SerializeToString(), np.uint8)


def models(classifier, detector, folder, whole):
    """Classify, and detect."""
    rng = np.random.default_rng(6)
    batch = [rng.random((size, size + 3, 3)).astype(np.float32) for size in (40, 64, 33)]
    net = [str(Path(folder, "net.prototxt")), str(Path(folder, "net.caffemodel"))]
    mean = rng.random((3, 32, 32)).astype(np.float32) * 200
    common = {"mean": mean, "raw_scale": 255, "channel_swap": (2, 1, 0)}
    made = classifier(*net, image_dims=(38, 41), input_scale=0.9, **common)
    yield "predict", made.predict(batch)
    yield "predict one", made.predict(batch, oversample=False)
    windows = [(0, 0, 20, 21), (3, 5, 30, 29), (20, 18, 40, 45)]
    path = str(Path(folder, "images", "rgb.png"))
    for pad in (None, 4):
        made = detector(*net, context_pad=pad, **common)
        if pad:
            for window in windows:
                cut = made.crop(whole(batch[1]), np.array(window))
                yield f"crop {window}", np.asarray(cut)
        else:
            for one in made.detect_windows([(path, np.array(windows))]):
                yield f"detect {one['window']}", np.asarray(one["prediction"]).ravel()


def random_net(spec, layers, rng):
    """Write a net at random: a chain with branches, crops and layers in place."""
    n, names = spec.NetSpec(), []
    n.data = layers.Input(shape={"dim": [1, 2, 60, 60]})
    top = n.data
    for i in range(rng.randint(1, 7)):
        kind = rng.choice(["conv", "pool", "deconv", "relu", "scale", "drop"])
        size, stride = rng.choice([1, 2, 3, 5]), rng.choice([1, 1, 2])
        sizes = {"kernel_size": size, "stride": stride, "pad": rng.choice([0, 1, 2])}
        if kind == "conv" and rng.random() < 0.3:
            sizes |= {"kernel_size": [size, 3], "dilation": 2, "weight_filler": {"type": "xavier"}}
        if kind in ("conv", "deconv"):
            make = layers.Convolution if kind == "conv" else layers.Deconvolution
            where = {"convolution_param": {**sizes, "num_output": 4}}
            flat = kind == "conv" and rng.random() < 0.5  # pycaffe knows no flat deconvolution
            top = make(top, **({**sizes, "num_output": 4} if flat else where))
        elif kind == "pool":
            top = layers.Pooling(top, pool=1, include={"phase": 1}, **sizes)
        elif kind == "relu":
            top = layers.ReLU(top, in_place=rng.random() < 0.5)
        elif kind == "scale":
            top = layers.Scale(top, bias_term=True, param=[{"lr_mult": 1}, {"lr_mult": 2.5}])
        else:
            top = layers.Dropout(top, dropout_ratio=0.3, name=f"dropped{i}", in_place=True)
        if rng.random() < 0.7:
            n[f"b{i}"] = top
            names.append(f"b{i}")
    n.label = layers.DummyData(shape=[{"dim": [1, 1]}], data_filler={"type": "constant"})
    n.quiet = layers.Silence(n.label, ntop=0)
    n.loss = layers.EuclideanLoss(top, n.data, loss_weight=0.5, propagate_down=[True, False])
    return n, names, top


def nets(spec, maps):
    """Write random nets; map coordinates in them, and crop."""
    rng = random.Random(7)
    for number in range(150):
        n, names, top = random_net(spec, spec.layers, rng)
        yield f"net {number}", n.to_proto()
        yield f"unnamed {number}", spec.to_proto(top, n.data)
        for name in [*names, "data", "loss"]:
            for function in (maps.coord_map_from_to, maps.crop):
                try:
                    got = function(n[name], n.data)
                except Exception as error:
                    known = (AssertionError, RuntimeError)
                    got = next((k.__name__ for k in known if isinstance(error, k)), "other")
                yield f"{function.__name__} {number} {name}", got


def results(side, folder, io, spec, maps, classifier, detector):
    """Return everything as arrays."""
    pairs = {}
    for part in (images(io, ""), transformers(io), files(io, folder)):
        pairs |= dict(part)
    pairs |= dict(models(classifier, detector, folder, lambda a: a.view(_Whole)))
    for name, got in nets(spec, maps):
        if isinstance(got, tuple):
            got = repr([np.broadcast_to(np.asarray(e, float), 2).tolist() for e in got])
        elif hasattr(got, "to_proto"):
            got = repr(
                [
                    got.fn.type_name,
                    got.fn.params["crop_param"]["axis"],
                    np.broadcast_to(got.fn.params["crop_param"]["offset"], 2).tolist(),
                ]
            )
        elif hasattr(got, "SerializeToString"):
            got = str(got)
        pairs[name] = np.frombuffer(got.encode(), np.uint8)
    np.savez(Path(folder, f"{side}.npz"), **{k.replace("/", "_"): v for k, v in pairs.items()})


def _theirs(folder):
    import caffe
    from caffe import classifier, coord_map, detector, io, net_spec

    read = io.skimage.io.imread
    # A word that scikit-image has changed since.
    io.skimage.io.imread = lambda path, as_grey: read(path, as_gray=as_grey)
    smooth = dict(images(io, "theirs"))
    # As release 1.0 calls it, which leaves to scikit-image what is beyond the border.
    resize = io.resize
    io.resize = lambda *args, mode, **kwargs: resize(*args, **kwargs)
    caffe.set_mode_cpu()
    made = (classifier.Classifier, detector.Detector)
    results("theirs", folder, io, net_spec, coord_map, *made)
    np.savez(Path(folder, "theirs_smooth.npz"), **smooth)


def _ours(folder):
    from sscaffe import classifier, coord_map, detector, io, net_spec

    made = (classifier.Classifier, detector.Detector)
    results("ours", folder, io, net_spec, coord_map, *made)
    np.savez(Path(folder, "ours_smooth.npz"), **dict(images(io, "ours")))


if __name__ == "__main__":
    {"THEIRS": _theirs, "OURS": _ours}[sys.argv[2]](sys.argv[1])
