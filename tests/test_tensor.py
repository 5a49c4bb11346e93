"""A value in two places: whoever asks sees the freshest."""

import numpy as np
import pytest

from sscaffe import _core
from sscaffe.arena import Arena
from sscaffe.blob import Blob
from sscaffe.tensor import Fresh, Tensor, Watched

pytestmark = pytest.mark.skipif(not _core.has_onednn, reason="needs oneDNN layouts")

SHAPE = (2, 20, 12, 12)
COUNT = 2 * 20 * 12 * 12


@pytest.fixture
def blocked():
    """Return a layout that oneDNN chooses and that is not row-major."""
    convolution = _core.Convolution(
        batch=2,
        in_channels=32,
        out_channels=20,
        group=1,
        input=(12, 12),
        output=(12, 12),
        kernel=(3, 3),
        stride=(1, 1),
        pad=(1, 1),
        dilation=(1, 1),
        bias=True,
        train=True,
    )
    layout = convolution.top_layout
    assert layout.dims == SHAPE
    assert not layout.is_plain
    return layout


@pytest.fixture
def values(rng):
    return rng.standard_normal(COUNT).astype(np.float32)


def tensor_of(values):
    tensor = Tensor(values.size, np.float32, np)
    tensor.overwrite()[...] = values
    return tensor


def write_native(tensor, layout, values):
    tensor_of(values).memory(SHAPE).copy_to(tensor.output(layout, SHAPE))


def test_starts_at_zero():
    assert not Tensor(COUNT, np.float32, np).read().any()


def test_values_survive_a_round_trip_through_the_native_layout(blocked, values):
    tensor = tensor_of(values)
    assert tensor.memory_in(blocked, SHAPE).layout == blocked
    np.testing.assert_array_equal(tensor.read(), values)


def test_reading_keeps_the_native_place_fresh(blocked, values):
    tensor = Tensor(COUNT, np.float32, np)
    write_native(tensor, blocked, values)
    tensor.read()
    assert tensor.memory(SHAPE).layout == blocked


def test_writing_makes_the_native_place_stale(blocked, values):
    tensor = tensor_of(values)
    tensor.memory_as(blocked, SHAPE)
    tensor.write()[0] = 7
    assert tensor.memory(SHAPE).layout.is_plain
    tensor.memory_as(blocked, SHAPE)
    assert tensor.read()[0] == 7


def test_a_kernels_output_replaces_the_plain_value(blocked, values):
    tensor = tensor_of(np.zeros_like(values))
    write_native(tensor, blocked, values)
    np.testing.assert_array_equal(tensor.read(), values)


def test_clear_reaches_whoever_reads_next(blocked, values):
    tensor = Tensor(COUNT, np.float32, np)
    write_native(tensor, blocked, values)
    tensor.clear()
    assert tensor.is_zero
    assert not tensor.read().any()
    assert not tensor.is_zero


def test_a_held_array_is_live_in_both_directions(blocked, values):
    tensor = tensor_of(np.zeros_like(values))
    held = tensor.write()
    write_native(tensor, blocked, values)
    tensor.publish()
    np.testing.assert_array_equal(held, values)
    held[5] = 42
    back = tensor_of(np.zeros_like(values))
    tensor.memory_as(blocked, SHAPE).copy_to(back.output(None, SHAPE))
    assert back.read()[5] == 42


def test_version_changes_with_every_way_to_write(blocked, values):
    tensor = tensor_of(values)
    seen = [tensor.version]
    tensor.read()
    tensor.memory(SHAPE)
    tensor.memory_as(blocked, SHAPE)
    assert tensor.version == seen[0]
    for write in (
        tensor.write,
        tensor.overwrite,
        tensor.clear,
        lambda: tensor.output(blocked, SHAPE),
        lambda: tensor.memory_in(blocked, SHAPE),
    ):
        write()
        seen.append(tensor.version)
    assert len(set(seen)) == len(seen)


def test_version_changes_when_a_held_array_is_written_to(values):
    tensor = tensor_of(values)
    held = tensor.write()[:10]
    before = tensor.version
    assert tensor.version == before
    held[3] += 1
    assert tensor.version != before


def test_what_was_written_before_the_holder_let_go_counts(blocked, values):
    """Net surgery in a function: the array is held, written to, and dropped."""
    tensor = tensor_of(values)
    held = tensor.write()
    before = tensor.version
    tensor.memory_as(blocked, SHAPE)
    held[...] = 3
    del held
    assert tensor.version != before
    back = tensor_of(values)
    tensor.memory_as(blocked, SHAPE).copy_to(back.output(None, SHAPE))
    assert (back.read() == 3).all()


def test_layouts_of_other_dims_hand_values_over(blocked, values):
    """Inner products share weights though one bottom has four axes, and the other two."""
    primitive = _core.InnerProduct(bottom=(64, 480), outputs=12, bias=False, train=True)
    layout = primitive.weights_layout
    if layout.is_plain:
        layout = primitive.weights_diff_layout
    assert not layout.is_plain
    tensor = tensor_of(values)
    tensor.memory_in(blocked, SHAPE)
    tensor.memory_in(layout, (12, 480))
    np.testing.assert_array_equal(tensor.read(), values)


def test_a_settled_value_is_in_the_native_place_alone(blocked, values):
    tensor = tensor_of(values)
    assert tensor.settle(blocked, SHAPE).layout == blocked
    assert tensor.fresh is Fresh.NATIVE
    assert tensor._plain is None
    np.testing.assert_array_equal(tensor.read(), values)
    assert tensor.settle(blocked, SHAPE) is tensor.memory(SHAPE)


def test_a_plain_place_that_is_asked_for_again_stays(blocked, values):
    tensor = tensor_of(values)
    tensor.settle(blocked, SHAPE)
    tensor.write()[3] = 9
    tensor.settle(blocked, SHAPE)
    assert tensor._plain is not None
    assert tensor.read()[3] == 9


def test_a_held_array_stays_live_when_its_value_settles(blocked, values):
    tensor = tensor_of(values)
    held = tensor.write()
    tensor.settle(blocked, SHAPE)
    held[5] = 42
    back = tensor_of(np.zeros_like(values))
    tensor.settle(blocked, SHAPE).copy_to(back.output(None, SHAPE))
    assert back.read()[5] == 42


def test_a_value_that_is_in_both_places_settles(blocked, values):
    tensor = tensor_of(values)
    tensor.memory_as(blocked, SHAPE)
    tensor.settle(blocked, SHAPE)
    assert tensor._plain is None
    np.testing.assert_array_equal(tensor.read(), values)


def test_settling_does_not_hide_what_was_written_before(blocked, values):
    tensor = tensor_of(values)
    held = tensor.write()
    before = tensor.version
    held[...] = 3
    del held
    tensor.settle(blocked, SHAPE)
    assert tensor.version != before


@pytest.mark.parametrize("outputs", [1000, 1024])
def test_a_large_value_moves_by_parts(outputs, rng):
    inputs = 8800  # more than 32 MiB; 1000 outputs do not fill their last block
    layout = _core.InnerProduct(
        bottom=(32, inputs), outputs=outputs, bias=False, train=False
    ).weights_layout
    values = rng.standard_normal(outputs * inputs, np.float32)
    tensor = tensor_of(values)
    tensor.settle(layout, (outputs, inputs))
    assert layout.is_plain or tensor._plain is None
    np.testing.assert_array_equal(tensor.read(), values)


def test_zeros_move_without_a_plain_array(blocked):
    tensor = Tensor(COUNT, np.float32, np)
    back = tensor_of(np.ones(COUNT, np.float32))
    tensor.memory_as(blocked, SHAPE).copy_to(back.output(None, SHAPE))
    assert tensor._plain is None
    assert not back.read().any()
    tensor.memory_in(blocked, SHAPE)
    assert not tensor.is_zero


def test_the_values_of_a_memory_are_its_own(blocked, values):
    memory, plain = _core.Memory(blocked), _core.Memory(values.copy(), SHAPE)
    plain.copy_to(memory)
    stored = memory.values
    assert stored.shape == (blocked.stored,)
    assert stored.sum() == pytest.approx(values.sum(), rel=1e-3)
    stored *= 2
    memory.copy_to(plain)
    np.testing.assert_array_equal(plain.values, 2 * values)
    kept = _core.Memory(blocked).values  # which outlives the name of its memory
    assert not kept.any()


def test_the_form_of_a_layout_tells_it_from_others(blocked):
    block = 16 if blocked.channel_block != 16 else 8
    others = [_core.Layout(SHAPE), _core.Layout.with_channel_block(SHAPE, block)]
    others.append(_core.Layout((2, 20, 144)))
    same = _core.Layout.with_channel_block(SHAPE, blocked.channel_block)
    assert (blocked.form == same.form) == (blocked == same)
    assert len({layout.form for layout in [blocked, *others]}) == 4


WRITES = {
    "write": lambda tensor, layout: tensor.write(),
    "overwrite": lambda tensor, layout: tensor.overwrite(),
    "clear": lambda tensor, layout: tensor.clear(),
    "set_fresh": lambda tensor, layout: tensor.set_fresh(Fresh.PLAIN),
    "output": lambda tensor, layout: tensor.output(layout, SHAPE),
    "plain output": lambda tensor, layout: tensor.output(None, SHAPE),
    "memory_in": lambda tensor, layout: tensor.memory_in(layout, SHAPE),
    "leave": lambda tensor, layout: tensor.leave(),
}


@pytest.mark.parametrize("name", WRITES)
def test_every_way_to_write_to_a_watched_tensor_is_counted(name, blocked, values):
    tensor, other = tensor_of(values), tensor_of(values)
    tensor.watch()
    before = Watched.changes
    WRITES[name](other, blocked)
    assert Watched.changes == before
    WRITES[name](tensor, blocked)
    assert Watched.changes == before + 1


def test_reading_a_watched_tensor_is_no_change(blocked, values):
    tensor = tensor_of(values)
    tensor.watch()
    before = Watched.changes
    tensor.read()
    tensor.memory_as(blocked, SHAPE)
    tensor.settle(blocked, SHAPE)
    assert tensor.version == tensor.version
    assert Watched.changes == before


def test_what_a_holder_wrote_to_a_watched_tensor_is_counted_when_it_is_noticed(values):
    tensor = tensor_of(values)
    held = tensor.write()
    tensor.watch()
    assert tensor.version
    before = Watched.changes
    held[0] += 1
    assert tensor.version
    assert Watched.changes > before


def test_blobs_that_get_other_tensors_are_counted():
    blob, other = Blob((2, 3)), Blob((2, 3))
    for change in (
        lambda: blob.share_data(other),
        lambda: blob.reshape(5),
        lambda: blob.exchange(other),
        lambda: other.exchange(blob),
        lambda: blob.draw_from(Arena()),
    ):
        blob.data_tensor.watch()
        before = Watched.changes
        change()
        assert Watched.changes > before
