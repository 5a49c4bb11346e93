"""InnerProduct: a fully connected layer."""

import math

from sscaffe import sparsity
from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.ip import AutoIp, ConcatenatedIp, CsrIp, DenseIp, IpKernel, IpSizes
from sscaffe.layer import TEST, TRAIN, Layer, canonical_axis, register
from sscaffe.proto import caffe_pb2
from sscaffe.tensor import Fresh
from sscaffe.weighted.base import Epilogue, Propagate

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
    absorbs = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottom and the layer's parameters, and create `blobs`."""
        param = self.layer_param.inner_product_param
        self._check_supported(param)
        if param.num_output < 1:
            raise ShapeError(f"num_output: expected 1 or more, got {param.num_output}")
        self.outputs, self.transpose = int(param.num_output), bool(param.transpose)
        self.axis = canonical_axis(param.axis, bottom[0].ndim)
        self.inputs = math.prod(bottom[0].shape[self.axis :])
        self.kernel_class = _MODES[param.gemm_mode]
        if self.phase == TEST and not param.HasField("gemm_mode"):
            self.kernel_class = AutoIp
        self._kernel: IpKernel | None = None
        self._is_repeated = False
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
        sizes = IpSizes(math.prod(shape[: self.axis]), self.inputs, self.outputs, self.transpose)
        if self._kernel is None or (
            sizes != self._kernel.sizes and not self._may_keep_kernel(sizes)
        ):
            self.use_kernel(self.kernel_class, sizes)
        top[0].reshape(*shape[: self.axis], self.outputs)

    def use_kernel(self, kernel_class: type[IpKernel], sizes: IpSizes | None = None) -> None:
        """Compute by a kernel of `sscaffe.ip.KERNELS` from now on."""
        self.kernel_class = kernel_class
        sizes = sizes or self.kernel.sizes
        self._kernel = kernel_class(sizes, self.device, self.dtype, self.phase)
        self._kernel.layer_name = self.name
        if self._is_repeated:
            self._kernel.be_repeated()

    def be_repeated(self) -> None:
        """Know that a compact net runs the kernel from now on."""
        self._is_repeated = True
        self.kernel.be_repeated()

    def _may_keep_kernel(self, sizes: IpSizes) -> bool:
        """Let a kernel that alone has the weights go on with another batch, if it can."""
        is_alone = bool(self.blobs) and self.blobs[0].data_tensor.fresh is Fresh.GONE
        return is_alone and self.kernel.resize(sizes.batch)

    @property
    def kernel(self) -> IpKernel:
        """What computes the layer, once it has been reshaped."""
        assert self._kernel is not None, "a kernel before reshape"
        return self._kernel

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the data of the top."""
        self.kernel.forward(bottom[0], self.blobs[0], self._bias, top[0])

    @property
    def may_fold(self) -> bool:
        """Whether row i of the weights makes channel i, along axis 1, of the top."""
        return self.axis == 1 and not self.transpose

    @property
    def holds_weights(self) -> bool:
        """Whether the kernel has the weights in a form of its own and needs their blob no more."""
        return self.kernel.holds_weights

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self.kernel.replays

    def forward_with(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob, epilogue: Epilogue
    ) -> None:
        """Set the data of a top by other weights of the same shape, and do what follows."""
        self.kernel.forward(bottom, weights, bias, top, epilogue)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the diff of the bottom and add to the diff of `blobs`."""
        weights_flag, *rest = self.param_propagate_down
        wanted = Propagate(propagate_down[0], weights_flag, any(rest))
        self.kernel.backward(top[0], bottom[0], self.blobs[0], self._bias, wanted)

    @property
    def kernel_description(self) -> str:
        """Which code computes the layer."""
        return self.kernel.description

    def macs(self) -> int:
        """Return the multiply-adds of one forward pass of the batch with dense weights."""
        return self.blobs[0].count * self.kernel.sizes.batch

    def kept_macs(self) -> int:
        """Return the multiply-adds left without the zero rows and columns."""
        return sparsity.kept_size(self.blobs[0].const_data) * self.kernel.sizes.batch

    @property
    def _bias(self) -> Blob | None:
        return self.blobs[1] if len(self.blobs) > 1 else None

    def _check_supported(self, param: caffe_pb2.InnerProductParameter) -> None:
        if param.relu:
            raise UnsupportedError("relu: InnerProduct has no rectifier; put a ReLU layer after it")
        if param.gemm_mode == _Param.SPGEMM:
            raise UnsupportedError("gemm_mode: SPGEMM has no kernel; use SPMDM")
        kernel_class = _MODES[param.gemm_mode]
        if self.phase == TRAIN and not kernel_class.trains:
            raise UnsupportedError(kernel_class.cannot_train())


_MODES: dict[int, type[IpKernel]] = {
    int(_Param.GEMM): DenseIp,
    int(_Param.SPMDM): CsrIp,
    int(_Param.CCNMM): ConcatenatedIp,
}
