"""Prefetcher: order, errors, the end of its thread."""

import gc
import threading
import weakref

import numpy as np
import pytest

from sscaffe.data.prefetch import Batch, Prefetcher
from sscaffe.errors import DataError


class Counter:
    """Fills batches with 0, 1, 2, ..., and may raise at one of them."""

    def __init__(self, raises_at=None):
        self.next, self.raises_at = 0, raises_at

    def fill(self, batch):
        if self.next == self.raises_at:
            raise DataError(f"record {self.next}: expected a Datum")
        batch.labels = np.full(3, self.next)
        self.next += 1
        batch.state = {"record": self.next}


@pytest.mark.parametrize("depth", [1, 4])
def test_batches_come_in_order_with_their_own_state(depth):
    prefetcher = Prefetcher(Counter().fill, depth)
    for i in range(20):
        batch = prefetcher.get()
        assert batch.labels.tolist() == [i] * 3
        assert batch.state == {"record": i + 1}
        prefetcher.give_back(batch)
    prefetcher.close()


def test_does_not_read_further_ahead_than_its_depth():
    counter = Counter()
    prefetcher = Prefetcher(counter.fill, 3)
    held = [prefetcher.get() for _ in range(3)]
    assert counter.next == 3
    assert [batch.labels[0] for batch in held] == [0, 1, 2]
    prefetcher.close()
    assert counter.next == 3


def test_an_error_comes_where_it_belongs_and_again():
    prefetcher = Prefetcher(Counter(raises_at=2).fill, 4)
    for i in range(2):
        assert prefetcher.get().labels[0] == i
    for _ in range(2):
        with pytest.raises(DataError, match="record 2: expected a Datum"):
            prefetcher.get()
    prefetcher.close()


def test_an_error_that_comes_again_is_as_it_was():
    def fill(batch):
        error = DataError("record 0")
        error.add_note("  from: fill")
        raise error

    prefetcher = Prefetcher(fill, 1)
    lengths = []
    for _ in range(3):
        with pytest.raises(DataError, match="record 0") as raised:
            prefetcher.get()
        assert raised.value.__notes__ == ["  from: fill"]
        lengths.append(len(raised.traceback))
        raised.value.add_note("  layer:  digits")
    assert len(set(lengths)) == 1
    prefetcher.close()


def prefetch_threads():
    return {thread for thread in threading.enumerate() if thread.name == "prefetch"}


def test_close_ends_the_thread_even_twice():
    before = prefetch_threads()  # of which some may be about to end
    prefetcher = Prefetcher(Counter().fill, 2)
    assert prefetch_threads() - before == {prefetcher._thread}
    prefetcher.close()
    prefetcher.close()
    assert not prefetch_threads() - before


def test_the_thread_ends_with_the_prefetcher():
    prefetcher = Prefetcher(Counter().fill, 2)
    thread, gone = prefetcher._thread, weakref.ref(prefetcher)
    del prefetcher
    gc.collect()
    assert gone() is None
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_a_batch_starts_empty():
    assert len(Batch().images) == 0
