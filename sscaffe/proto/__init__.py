"""Caffe's messages, as described in ``proto/caffe.proto``.

The generated module lives in a descriptor pool of its own, so that a process may also hold another
``caffe_pb2``. Everyone else imports it from here.
"""

from google.protobuf import text_format

from sscaffe.proto import caffe_pb2

__all__ = ["caffe_pb2", "text_format"]
