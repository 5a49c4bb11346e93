"""pycaffe's ``caffe.io``: images and arrays on their way into a net and out of it."""

from sscaffe.io.arrays import (
    ArrayError,
    array_to_blobproto,
    array_to_datum,
    arraylist_to_blobprotovector_str,
    blobproto_to_array,
    blobprotovector_str_to_arraylist,
    datum_to_array,
)
from sscaffe.io.images import load_image, oversample, resize_image
from sscaffe.io.transformer import Transformer
from sscaffe.proto import caffe_pb2

__all__ = [
    "ArrayError",
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]
