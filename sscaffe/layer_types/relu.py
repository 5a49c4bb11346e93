"""ReLU: a rectifier, leaky if asked."""

from sscaffe.blob import Blob
from sscaffe.layer import Fusion, Layer, register


@register("ReLU")
class ReLULayer(Layer):
    """``y = max(x, 0) + negative_slope * min(x, 0)``.

    Bottom and top: any shape; the layer may run in place.

    Source: Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines",
    ICML 2010.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape_like(bottom[0])

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return bool(self.dtype == "float32")

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Rectify."""
        self.kernels.relu_forward(bottom[0], top[0], self.layer_param.relu_param.negative_slope)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Pass the gradient where the bottom was above 0, and its share elsewhere."""
        if propagate_down[0]:
            slope = self.layer_param.relu_param.negative_slope
            self.kernels.relu_backward(top[0], bottom[0], slope)

    def fusion(self) -> Fusion | None:
        """See `Layer.fusion`."""
        return None if self.layer_param.relu_param.negative_slope else Fusion.RELU
