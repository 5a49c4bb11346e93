"""Input: tops that the program fills."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register


@register("Input")
class InputLayer(Layer):
    """Tops of given shapes, which the program fills before each forward pass.

    Tops: any number, each of its ``shape``, or all of the only one. Without a shape, the program
    reshapes them.
    """

    num_bottom = 0
    min_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops."""
        shapes = self.layer_param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            raise ShapeError(
                f"shape: expected none, 1 or one for each of the {len(top)} tops, got {len(shapes)}"
            )
        for i, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[i if len(shapes) > 1 else 0].dim)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the shapes, which the program may have changed."""

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return True

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep the values, which are the program's."""
