"""Parameters: their settings, how they are shared, what the solver is told."""

import numpy as np
import pytest

from sscaffe.errors import PrototxtError, ShapeError, SscaffeError
from tests.net.layers import INPUT, feed, input_layer, loss, make_net, times

IMAGE = input_layer("x", 2, 4, 6, 6)


def spec(text):
    return f"param {{ {text} }}"


def test_params_tell_layer_name_and_settings():
    net = make_net(INPUT + times("a", more=spec("lr_mult: 2 decay_mult: 3")) + times("b", "a"))
    first, second = net.learnable_params
    assert (first.layer_name, first.index, first.name) == ("a", 0, "a weight")
    assert (first.lr_mult, first.decay_mult, second.lr_mult) == (2, 3, 1)
    assert first.blob is net.params["a"][0]


def test_shared_params_are_one():
    net = make_net(
        INPUT
        + times("a", more=spec('name: "w"'))
        + times("b", "a", more=spec('name: "w"'))
        + loss("b")
    )
    assert len(net.learnable_params) == 1
    assert [param.layer_name for param in net.all_params] == ["a", "b"]
    net.params["a"][0].set_data([1, 2, 3])
    np.testing.assert_array_equal(net.params["b"][0].const_data, [1, 2, 3])
    feed(net)
    net.clear_param_diffs()
    net.forward_backward()
    # y = w * w * x, so its gradient is 2 * w * x.
    np.testing.assert_array_equal(net.params["a"][0].const_diff, [10, 28, 54])


def test_a_layer_that_shares_may_leave_settings_out_or_add_them():
    net = make_net(
        INPUT
        + times("a", more=spec('name: "w" decay_mult: 3'))
        + times("b", "a", more=spec('name: "w" lr_mult: 2 block_group_lasso { ydimen: 3 }'))
        + times("c", "b", more=spec('name: "w" lr_mult: 2'))
    )
    (param,) = net.learnable_params
    assert (param.lr_mult, param.decay_mult) == (2, 3)
    assert [one.ydimen for one in param.spec.block_group_lasso] == [3]


SHARED = 'name: "w" '


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("lr_mult: 1", "lr_mult: 2", "lr_mult: expected 1 for the shared param 'w', as in layer"),
        ("decay_mult: 1", "decay_mult: 0", "decay_mult: expected 1 for the shared param 'w'"),
        (
            'regularization_type: "L1"',
            'regularization_type: "L2"',
            "regularization_type: expected 'L1' for the shared param 'w'",
        ),
        (
            "block_group_lasso { ydimen: 3 }",
            "block_group_lasso { ydimen: 3 }",
            "block_group_lasso: the shared param 'w' has it in layer 'a' already",
        ),
        ("", 'decay_proto: "d"', "decay_proto: 'w' is shared; set decay_proto in layer 'a'"),
    ],
)
def test_settings_that_contradict_are_refused(first, second, message):
    with pytest.raises(PrototxtError, match=message):
        make_net(
            INPUT
            + times("a", more=spec(SHARED + first))
            + times("b", "a", more=spec(SHARED + second))
        )


def test_shared_params_must_have_one_shape():
    def text(mode):
        return (
            input_layer("i0", 2, 3, 4)
            + input_layer("i1", 2, 4, 3)
            + input_layer("i2", 2, 5)
            + times("a", "i0", more=spec(SHARED))
            + times("b", "i1", more=spec(SHARED + mode))
        )

    with pytest.raises(
        ShapeError, match=r"param: expected shape \(4, 3\), but 'w' has shape \(3, 4\)"
    ):
        make_net(text(""))
    net = make_net(text("share_mode: PERMISSIVE"))
    assert net.params["b"][0].shape == (4, 3)
    with pytest.raises(ShapeError, match=r"'w' has 12 elements, shape \(3, 4\), in layer 'a'"):
        make_net(text("share_mode: PERMISSIVE").replace('bottom: "i1"', 'bottom: "i2"'))


def test_too_many_settings_are_refused():
    with pytest.raises(PrototxtError, match="param: expected at most 1, one for each blob, got 2"):
        make_net(INPUT + times("a", more=spec("") + spec("")))


def statistics(more=""):
    return times("s", more=more).replace("TestTimes", "TestStatistics")


@pytest.mark.parametrize(
    "more", ["", spec("lr_mult: 0"), spec("lr_mult: 5"), spec("decay_mult: 0")]
)
def test_statistics_do_not_learn(more):
    net = make_net(INPUT + statistics(more) + loss("s"))
    (param,) = net.learnable_params
    assert (param.learns, param.lr_mult) == (False, 0)
    assert net.layers[1].param_propagate_down == [False]
    assert not any(net.layer_need_backward)


def test_a_rate_for_some_of_the_statistics_is_refused(monkeypatch):
    from tests.net.layers import Statistics

    def setup(self, bottom, top):
        super(Statistics, self).setup(bottom, top)
        self.add_param((1,))

    monkeypatch.setattr(Statistics, "setup", setup)
    with pytest.raises(PrototxtError, match="lr_mult: expected 0, as the blobs of TestStatistics"):
        make_net(INPUT + statistics(spec("lr_mult: 5")))


def convolution(kind="Convolution"):
    return (
        f'layer {{ name: "c" type: "{kind}" bottom: "x" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 group: 2 } } "
    )


def product(bottom, more=""):
    return (
        f'layer {{ name: "ip" type: "InnerProduct" bottom: "{bottom}" top: "ip" '
        f"inner_product_param {{ num_output: 5 {more} }} }} "
    )


def test_params_know_how_their_columns_come_about():
    net = make_net(IMAGE + convolution() + product("c"))
    weight, bias, ip, ip_bias = net.learnable_params
    assert (weight.group, weight.kernel_count, weight.matrix_shape) == (2, 9, (4, 18))
    assert (bias.group, bias.kernel_count) == (1, 1)
    assert (ip.group, ip.kernel_count, ip.matrix_shape) == (1, 16, (5, 64))
    assert ip_bias.kernel_count == 1


@pytest.mark.parametrize(
    ("more", "kernel_count"), [("axis: 2", 6), ("axis: -1", 1), ("transpose: true", 1)]
)
def test_an_inner_product_counts_the_axes_behind_its_own(more, kernel_count):
    net = make_net(IMAGE + product("x", more))
    assert net.learnable_params[0].kernel_count == kernel_count


def test_errors_of_sharing_say_where():
    with pytest.raises(SscaffeError) as caught:
        make_net(
            INPUT
            + times("a", more=spec(SHARED + "lr_mult: 1"))
            + times("b", "a", more=spec(SHARED + "lr_mult: 2")),
            source="n.prototxt",
        )
    assert caught.value.__notes__[0] == "  layer:  'b' (TestTimes) in n.prototxt"


def test_blocks_that_do_not_tile_the_matrix_are_refused_when_the_net_is_built():
    with pytest.raises(
        ShapeError, match=r"does not divide the 3 rows .* use a divisor: 1, 3"
    ) as info:
        make_net(INPUT + times("a", more=spec("block_group_lasso { ydimen: 2 }")))
    assert "'a' (TestTimes)" in "".join(info.value.__notes__)
