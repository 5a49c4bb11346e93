"""DetectionOutput: boxes and classes out of SSD's predictions."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.device import on_host
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2

_Prior = caffe_pb2.PriorBoxParameter

_COLUMNS = 7  # of a detection


@register("DetectionOutput")
class DetectionOutputLayer(Layer):
    """Decode the boxes, drop those that overlap better ones of their class, keep the best.

    Bottoms: places ``(N, priors * classes or 1 * 4)``, relative to the prior boxes; scores
    ``(N, priors * num_classes)``; prior boxes and variances ``(1, 2, priors * 4)``, as PriorBox
    gives them.
    Top: ``(1, 1, detections, 7)``, each image number, class, score, xmin, ymin, xmax, ymax; where
    nothing is found, one for each image with class -1.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016.
    """

    num_bottom = 3
    num_top = 1
    runs_on_host = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the classes and the way boxes are suppressed."""
        param = self.layer_param.detection_output_param
        if param.num_classes < 1:
            raise ShapeError(f"num_classes: expected 1 or more, got {param.num_classes}")
        nms = param.nms_param
        if nms.nms_threshold < 0:
            raise ShapeError(f"nms_threshold: expected 0 or more, got {nms.nms_threshold:g}")
        if not 0 < nms.eta <= 1:
            raise ShapeError(f"eta: expected more than 0, up to 1, got {nms.eta:g}")
        self.classes = int(param.num_classes)
        self.places = 1 if param.share_location else self.classes

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes; how many detections there are shows in the forward pass."""
        batch, values = bottom[0].shape[0], bottom[2].count // 2
        priors = values // 4
        for i, wanted in ((0, priors * self.places * 4), (1, priors * self.classes)):
            if bottom[i].count != batch * wanted:
                raise ShapeError(
                    f"bottom {i}: expected {wanted} values for each image, with {priors} priors, "
                    f"got {bottom[i].shape}"
                )
        top[0].reshape(1, 1, max(batch, 1), _COLUMNS)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the detections of each image."""
        batch = bottom[0].shape[0]
        host = [on_host(blob.const_data) for blob in bottom]
        places = host[0].reshape(batch, -1, self.places, 4)
        scores = host[1].reshape(batch, -1, self.classes)
        priors, variances = host[2].reshape(2, -1, 4)
        found = [
            np.insert(self._detect(boxes, score, priors, variances), 0, n, axis=1)
            for n, (boxes, score) in enumerate(zip(places, scores, strict=True))
        ]
        rows = np.concatenate(found)
        if not len(rows):
            rows = np.full((batch, _COLUMNS), -1.0)
            rows[:, 0] = np.arange(batch)
        top[0].reshape(1, 1, len(rows), _COLUMNS)
        top[0].set_data(self.xp.asarray(rows.astype(self.dtype)))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Refuse: what is found has no gradient."""
        if any(propagate_down):
            raise UnsupportedError(
                "propagate_down: DetectionOutput has no gradient; use it in "
                "TEST, and MultiBoxLoss in TRAIN"
            )

    def _detect(self, places: Array, scores: Array, priors: Array, variances: Array) -> Array:
        """Return class, score and box of each detection of one image, class by class."""
        param = self.layer_param.detection_output_param
        found: list[tuple[int, Array, Array]] = []
        for label in range(self.classes):
            if label == param.background_label_id:
                continue
            relative = places[:, 0 if self.places == 1 else label]
            boxes = decode(relative, priors, variances, param)
            kept = suppress(boxes, scores[:, label], param)
            found.append((label, boxes[kept], scores[kept, label]))
        rows = np.concatenate(
            [np.column_stack([np.full(len(s), c), s, b]) for c, b, s in found]
            or [np.empty((0, _COLUMNS - 1))]
        )
        if -1 < param.keep_top_k < len(rows):
            best = np.argsort(-rows[:, 1], kind="stable")[: param.keep_top_k]
            rows = rows[best[np.argsort(rows[best, 0], kind="stable")]]
        return rows


def decode(
    places: Array, priors: Array, variances: Array, param: caffe_pb2.DetectionOutputParameter
) -> Array:
    """Return the boxes that are written relative to priors.

    Parameters
    ----------
    places, priors, variances : ndarray, shape (priors, 4)
        As `param` encodes them.
    param : DetectionOutputParameter
        code_type and variance_encoded_in_target.

    Returns
    -------
    ndarray, shape (priors, 4)
        xmin, ymin, xmax, ymax.
    """
    if not param.variance_encoded_in_target:
        places = places * variances
    size = priors[:, 2:] - priors[:, :2]
    if param.code_type == _Prior.CORNER:
        return np.asarray(priors + places)
    if param.code_type == _Prior.CORNER_SIZE:
        return np.asarray(priors + places * np.tile(size, 2))
    centre = (priors[:, :2] + priors[:, 2:]) / 2 + places[:, :2] * size
    half = np.exp(places[:, 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def suppress(boxes: Array, scores: Array, param: caffe_pb2.DetectionOutputParameter) -> list[int]:
    """Return which boxes to keep, the best first, so that none overlaps a better one too much.

    Parameters
    ----------
    boxes : ndarray, shape (priors, 4)
        xmin, ymin, xmax, ymax.
    scores : ndarray, shape (priors,)
        The larger, the better.
    param : DetectionOutputParameter
        confidence_threshold and nms_param.
    """
    nms = param.nms_param
    order = np.argsort(-scores, kind="stable")
    if param.HasField("confidence_threshold"):
        order = order[scores[order] > param.confidence_threshold]
    if nms.HasField("top_k") and nms.top_k > -1:
        order = order[: nms.top_k]
    kept: list[int] = []
    threshold = nms.nms_threshold
    for i in order:
        if kept and (overlaps(boxes[i], boxes[kept]) > threshold).any():
            continue
        kept.append(int(i))
        if nms.eta < 1 and threshold > 0.5:
            threshold *= nms.eta
    return kept


def overlaps(box: Array, others: Array) -> Array:
    """Return intersection over union of a box with each of several others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(0).prod(axis=1)
    union = _area(box[None]) + _area(others) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=common > 0))


def _area(boxes: Array) -> Array:
    sides = boxes[:, 2:] - boxes[:, :2]
    area: Array = np.where((sides < 0).any(axis=1), 0, sides.prod(axis=1))
    return area
