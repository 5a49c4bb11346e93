"""Plain layers for golden cases that need them only as a frame for what they are about.

They are used as long as sscaffe has no layer of that type.
"""

from sscaffe.layer import Layer


def stand_ins(kind):
    """Return the stand-ins that cases of a kind may use, by layer type."""
    return {
        "lr": {"Reduction": Sum},
        "net": {"Power": Copy, "Reduction": Sum},
        "net_error": {"Power": Copy, "Reduction": Sum},
    }.get(kind, {})


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
