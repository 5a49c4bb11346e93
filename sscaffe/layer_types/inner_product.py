"""InnerProduct: a fully connected layer."""

import math
from typing import Any

import numpy.typing as npt

from sscaffe import sparsity
from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.kernels import ConvolutionOperator
from sscaffe.layer import TRAIN, Layer, canonical_axis, register
from sscaffe.proto import caffe_pb2
from sscaffe.weight_matrix import CsrMatrix, Prepared

Array = npt.NDArray[Any]

_Param = caffe_pb2.InnerProductParameter


@register("InnerProduct")
class InnerProductLayer(Layer):
    """``top = bottom @ weights.T + bias``, or ``bottom @ weights + bias`` if `transpose`.

    Bottom: ``(..., K axes)``; the axes from `axis` on together are one input vector of K elements.
    Top: ``(..., num_output)``.
    Blobs: weights, shape ``(num_output, K)``, or ``(K, num_output)`` if `transpose`; bias, shape
    ``(num_output,)``.
    """

    num_bottom = 1
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottom and the layer's parameters, and create `blobs`."""
        param = self.layer_param.inner_product_param
        self._check_supported(param)
        if param.num_output < 1:
            raise ShapeError(f"num_output: expected 1 or more, got {param.num_output}")
        self.outputs, self.transpose = int(param.num_output), bool(param.transpose)
        self.axis = canonical_axis(param.axis, bottom[0].ndim)
        self.inputs = math.prod(bottom[0].shape[self.axis :])
        self._sparse = param.gemm_mode == _Param.SPMDM
        self._prepared = Prepared(self._store)
        self._operator: ConvolutionOperator | None = None
        self._batch = -1
        if not self.blobs:
            shape = (self.outputs, self.inputs)
            self.add_param(shape[::-1] if self.transpose else shape, param.weight_filler)
            if param.bias_term:
                self.add_param((self.outputs,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top from that of the bottom."""
        shape = bottom[0].shape
        if math.prod(shape[self.axis :]) != self.inputs:
            raise ShapeError(
                f"bottom: expected {self.inputs} elements from axis {self.axis} on, as in the "
                f"weights {self.blobs[0].shape}, got {shape}"
            )
        batch = math.prod(shape[: self.axis])
        if batch != self._batch and not (self.transpose or self._sparse):
            self._operator = self.kernels.inner_product(
                batch, self.inputs, self.outputs, self.dtype, self.phase == TRAIN
            )
        self._batch = batch
        top[0].reshape(*shape[: self.axis], self.outputs)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the data of the top."""
        weights, bias = self.blobs[0], self._bias
        if self._operator is not None:
            self._operator.forward(bottom[0], weights, bias, top[0])
            return
        x = bottom[0].const_data.reshape(self._batch, self.inputs)
        y = top[0].data_tensor.overwrite().reshape(self._batch, self.outputs)
        if self._sparse:
            self._multiply_sparse(x, y)
        else:
            self.kernels.gemm(x, weights.const_data, y, transpose_b=not self.transpose)
        if bias is not None:
            y += bias.const_data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the diff of the bottom and add to the diff of `blobs`."""
        if self._sparse:
            raise UnsupportedError(_CANNOT_TRAIN)
        weights_flag, *rest = self.param_propagate_down
        bias, bias_flag = self._bias, any(rest)
        operator = self._operator
        # The operator computes both parameter gradients or none.
        if operator is not None and (bias is None or weights_flag == bias_flag):
            if weights_flag:
                operator.backward_weights(top[0], bottom[0], self.blobs[0], bias)
        else:
            self._backward_params(top[0], bottom[0], weights_flag, bias if bias_flag else None)
        if propagate_down[0]:
            if operator is not None:
                operator.backward_data(top[0], self.blobs[0], bottom[0])
            else:
                self._backward_data(top[0], bottom[0])

    @property
    def kernel_description(self) -> str:
        """Which code computes the layer."""
        if self._operator is not None:
            return self._operator.description
        return "csrmm of the non-zero columns" if self._sparse else "gemm"

    def macs(self) -> int:
        """Return the multiply-adds of one forward pass of the batch with dense weights."""
        return self.blobs[0].count * self._batch

    def kept_macs(self) -> int:
        """Return the multiply-adds left without the zero rows and columns."""
        return sparsity.kept_size(self.blobs[0].const_data) * self._batch

    @property
    def _bias(self) -> Blob | None:
        return self.blobs[1] if len(self.blobs) > 1 else None

    def _check_supported(self, param: caffe_pb2.InnerProductParameter) -> None:
        if param.relu:
            raise UnsupportedError("relu: InnerProduct has no rectifier; put a ReLU layer after it")
        if param.gemm_mode == _Param.SPGEMM:
            raise UnsupportedError("gemm_mode: SPGEMM has no kernel; use SPMDM")
        if param.gemm_mode == _Param.SPMDM and self.phase == TRAIN:
            raise UnsupportedError(_CANNOT_TRAIN)

    def _store(self, weights: Array) -> CsrMatrix:
        return CsrMatrix.from_dense(weights.T if self.transpose else weights, self.device)

    def _multiply_sparse(self, x: Array, y: Array) -> None:
        matrix = self._prepared.get(self.blobs[0])
        rows = x.T if matrix.kept_columns is None else x.T[matrix.kept_columns]
        product = self.xp.empty((self.outputs, self._batch), self.dtype)
        matrix.matmul(self.xp.ascontiguousarray(rows), product, self.kernels)
        y[...] = product.T

    def _backward_params(
        self, top: Blob, bottom: Blob, propagate_weights: bool, bias: Blob | None
    ) -> None:
        x = bottom.const_data.reshape(self._batch, self.inputs)
        top_diff = top.const_diff.reshape(self._batch, self.outputs)
        if propagate_weights:
            a, b = (x, top_diff) if self.transpose else (top_diff, x)
            self.kernels.gemm(a, b, self.blobs[0].diff, transpose_a=True, accumulate=True)
        if bias is not None:
            diff = bias.diff
            diff += top_diff.sum(axis=0)

    def _backward_data(self, top: Blob, bottom: Blob) -> None:
        top_diff = top.const_diff.reshape(self._batch, self.outputs)
        out = bottom.diff_tensor.overwrite().reshape(self._batch, self.inputs)
        weights = self.blobs[0].const_data
        self.kernels.gemm(top_diff, weights, out, transpose_b=self.transpose)


_CANNOT_TRAIN = "gemm_mode: SPMDM cannot train; use GEMM in TRAIN and SPMDM in TEST"
