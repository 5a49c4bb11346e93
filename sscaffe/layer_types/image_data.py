"""ImageData: image files and labels from a list, read ahead in a thread."""

from pathlib import Path

from sscaffe.blob import Blob
from sscaffe.data.image_list import ImageListSource, read_image_list
from sscaffe.data.reader import BatchReader
from sscaffe.data.transformer import DataTransformer
from sscaffe.errors import DataError
from sscaffe.layer import register
from sscaffe.layer_types.prefetched import PrefetchedLayer, merged_transform_param

_DEPTH = 4  # batches made ahead


@register("ImageData")
class ImageDataLayer(PrefetchedLayer):
    """Batches of the images of a list, transformed, in order or shuffled, over and over.

    The list has a line for each image: the file's name, a space, the label.

    Tops: data ``(N, C, H, W)`` and, if there are two, label ``(N,)``.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the list and set the tops' shapes from its first image."""
        param = self.layer_param.image_data_param
        if param.batch_size < 1:
            raise DataError(f"batch_size: expected 1 or more, got {param.batch_size}")
        if not param.source:
            raise DataError("source: expected a file that lists images, got nothing")
        if bool(param.new_height) != bool(param.new_width):
            raise DataError("new_height, new_width: expected both or neither, got one")
        # Caffe draws a seed for the transformer twice, and between them what the list needs.
        transform_param = merged_transform_param(self.layer_param, "image_data_param")
        transformer = DataTransformer(transform_param, self.phase, self.rng, self.root)
        source = ImageListSource(
            read_image_list(Path(self.root, param.source)),
            folder=param.root_folder,
            root=self.root,
            channels=3 if param.is_color else 1,
            size=(param.new_height, param.new_width) if param.new_height else None,
            seed=int(self.rng.raw(1)[0]) if param.shuffle else None,
        )
        if param.rand_skip:
            source.begin_at(int(self.rng.raw(1)[0]) % param.rand_skip)
        if transformer.is_random:
            transformer.seed(self.rng)
        self.rng.raw(1)
        top[0].reshape(param.batch_size, *transformer.output_shape(source.first.shape))
        for blob in top[1:]:
            blob.reshape(param.batch_size)
        self.begin(source, BatchReader(source, transformer, param.batch_size), _DEPTH)
