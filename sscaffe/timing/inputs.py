"""Something for a net to compute with where its data is not here."""

from pathlib import Path

from sscaffe.data.transformer import read_mean
from sscaffe.errors import DataError
from sscaffe.glog import logger
from sscaffe.layer_types.prefetched import merged_transform_param
from sscaffe.net import Net
from sscaffe.net.rules import is_included
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers

_Mode = caffe_pb2.ConvolutionParameter
_SPARSE_MODES = (_Mode.LOWERED_CSRMM, _Mode.LOWERED_CCNMM, _Mode.DIRECT_SCONV, _Mode.AUTO)
_DENSE_GEMM = (caffe_pb2.InnerProductParameter.GEMM,)

ImageShape = tuple[int, int, int]

_IMAGES = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param",
}


def fill_inputs(net: Net, seed: int = 1701) -> None:
    """Fill the Input layers of a net: labels with 0, everything else with random numbers."""
    rng = RandomNumbers(seed)
    labels: set[int] = set()
    for layer, bottom, top in reversed(list(zip(net.layers, net.bottoms, net.tops, strict=True))):
        if layer.is_loss or layer.type == "Accuracy":
            labels.update(id(blob) for blob in bottom[1:])
        elif layer.type == "Split" and any(id(blob) in labels for blob in top):
            labels.add(id(bottom[0]))
        elif layer.type == "Input":
            for blob in top:
                values = rng.gaussian(0, 0 if id(blob) in labels else 1, blob.count)
                blob.set_data(values.reshape(blob.shape))


def is_sparse(param: caffe_pb2.NetParameter) -> bool:
    """Tell whether any layer asks for a sparse mode, or for AUTO: these are for TEST alone."""
    return any(
        layer.convolution_param.conv_mode in _SPARSE_MODES
        or layer.inner_product_param.gemm_mode not in _DENSE_GEMM
        for layer in param.layer
    )


def stand_in_for_missing_data(
    param: caffe_pb2.NetParameter,
    image_shape: ImageShape | None = None,
    root: str = "",
    state: caffe_pb2.NetState | None = None,
) -> caffe_pb2.NetParameter:
    """Replace each data layer whose files are not there by an Input layer of the same shape.

    The first top is images; any others are labels, one for each image. That goes for Data,
    ImageData, WindowData and HDF5Data, and for MemoryData, whose data only a program can give.

    Parameters
    ----------
    param : NetParameter
        The net; it is left as it is.
    image_shape : (int, int, int), optional
        Channels, height and width of an image, where the layer itself does not tell.
    root : str
        The folder that relative paths start from; the working directory by default.
    state : NetState, optional
        Layers that this state leaves out stay as they are.

    Returns
    -------
    NetParameter
        The net that can be timed here.

    Raises
    ------
    DataError
        If the shape of the images is not known.
    """
    result = caffe_pb2.NetParameter()
    result.CopyFrom(param)
    for layer in result.layer:
        if state is not None and not is_included(layer, state):
            continue
        if layer.type == "MemoryData":
            _stand_in_for_memory(layer)
        elif layer.type in _IMAGES and not _has_data(layer, root):
            _stand_in(layer, image_shape or _own_shape(layer, root))
    return result


def _has_data(layer: caffe_pb2.LayerParameter, root: str) -> bool:
    source = Path(root, getattr(layer, _IMAGES[layer.type]).source)
    return (source / "data.mdb" if layer.type == "Data" else source).is_file()


def _stand_in(layer: caffe_pb2.LayerParameter, shape: ImageShape | None) -> None:
    param = getattr(layer, _IMAGES[layer.type])
    kind = "LMDB" if layer.type == "Data" else "file"
    if shape is None:
        raise DataError(
            f"source: there is no {kind} '{param.source}', and layer '{layer.name}' does not tell "
            "the shape of its images; give it with --shape channels,height,width"
        )
    _become_input(layer, param.batch_size, shape, (param.batch_size,))
    size = " x ".join(str(dim) for dim in layer.input_param.shape[0].dim)
    logger.warning("%s: there is no %s %s; random images, %s", layer.name, kind, param.source, size)


def _stand_in_for_memory(layer: caffe_pb2.LayerParameter) -> None:
    param = layer.memory_data_param
    shape = (param.channels, param.height, param.width)
    if min(param.batch_size, *shape) > 0:  # the layer itself says what is wrong with others
        _become_input(layer, param.batch_size, shape, (param.batch_size, 1, 1, 1))
        logger.info("%s: random images", layer.name)


def _own_shape(layer: caffe_pb2.LayerParameter, root: str) -> ImageShape | None:
    """Return the shape of a layer's images as far as its fields tell."""
    if layer.type == "HDF5Data":
        return None
    transform = merged_transform_param(layer)
    height = width = transform.crop_size
    images = layer.image_data_param
    if layer.type == "ImageData" and not height:
        height, width = images.new_height, images.new_width
    channels = len(transform.mean_value)  # one alone serves any number of channels
    if transform.force_color or (layer.type == "ImageData" and images.is_color):
        channels = 3
    elif transform.force_gray:
        channels = 1
    elif channels < 2:
        channels = _channels_of_mean(transform, root)
    return (channels, height, width) if channels and height and width else None


def _channels_of_mean(transform: caffe_pb2.TransformationParameter, root: str) -> int:
    """Return how many channels the mean_file has; 0 if there is none."""
    if not Path(root, transform.mean_file).is_file():
        return 0
    return int(read_mean(Path(root, transform.mean_file)).shape[0])


def _become_input(
    layer: caffe_pb2.LayerParameter, batch: int, image: ImageShape, labels: tuple[int, ...]
) -> None:
    for name in (*_IMAGES.values(), "memory_data_param", "transform_param"):
        layer.ClearField(name)
    layer.type = "Input"
    layer.input_param.shape.add().dim.extend((batch, *image))
    for _ in layer.top[1:]:
        layer.input_param.shape.add().dim.extend(labels)
