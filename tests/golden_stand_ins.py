"""Plain layers for golden cases that need them only as a frame for what they are about.

They are used as long as sscaffe has no layer of that type.
"""

import numpy as np

from sscaffe.layer import Layer


def stand_ins(kind):
    """Return the stand-ins that cases of a kind may use, by layer type."""
    return {
        "lr": {"Parameter": Parameter, "Reduction": Sum},
        "net": {"Power": Copy, "Reduction": Sum},
        "net_error": {"Power": Copy, "Reduction": Sum},
        "solver": {"ContrastiveLoss": ContrastiveLoss},
    }.get(kind, {})


class Parameter(Layer):
    """A top that is learned."""

    def setup(self, bottom, top):
        self.add_param(self.layer_param.parameter_param.shape.dim)

    def reshape(self, bottom, top):
        top[0].reshape_like(self.blobs[0])

    def forward(self, bottom, top):
        top[0].set_data(self.blobs[0].const_data)

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].const_diff


class Sum(Layer):
    """The sum of the bottom."""

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].set_data(bottom[0].const_data.sum())

    def backward(self, top, propagate_down, bottom):
        bottom[0].set_diff(top[0].const_diff)


class Copy(Layer):
    """The bottom itself."""

    num_bottom = num_top = 1

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        top[0].set_data(bottom[0].const_data)


class ContrastiveLoss(Layer):
    """Pulls pairs of rows together where they are alike, and apart up to a margin elsewhere.

    Source: Hadsell et al., "Dimensionality reduction by learning an invariant mapping", CVPR 2006.
    """

    is_loss = True

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        a, b, self.alike = (blob.const_data for blob in bottom)
        self.offset = a - b
        self.distance = np.sqrt((self.offset**2).sum(axis=1))
        self.gap = np.maximum(self.layer_param.contrastive_loss_param.margin - self.distance, 0)
        terms = np.where(self.alike == 1, self.distance**2, self.gap**2)
        top[0].set_data(terms.sum() / (2 * len(a)))

    def backward(self, top, propagate_down, bottom):
        # Caffe adds 1e-4 where it divides.
        pull = np.where(self.alike == 1, 1, -self.gap / (self.distance + 1e-4))
        gradient = top[0].const_diff * pull[:, np.newaxis] * self.offset / len(pull)
        bottom[0].set_diff(gradient)
        bottom[1].set_diff(-gradient)
