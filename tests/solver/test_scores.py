"""Means of the outputs over batches, and who is told of each batch."""

import pytest

from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.solver.scores import score
from tests.solver.nets import small_net


def test_scores_are_means_over_batches():
    net, seen = Net(small_net(), TEST), []

    def look(batch, outputs):
        seen.append((batch, float(outputs["loss"])))
        return True

    scores = score(net, 3, look)
    losses = [loss for _, loss in seen]
    assert [batch for batch, _ in seen] == [0, 1, 2]
    assert len(set(losses)) == 3
    assert scores.batches == 3
    assert scores.loss == pytest.approx(sum(losses) / 3)
    assert float(scores.outputs["loss"]) == pytest.approx(sum(losses) / 3)


def test_scores_of_fewer_batches_are_means_of_those():
    net, losses = Net(small_net(), TEST), []

    def look(batch, outputs):
        losses.append(float(outputs["loss"]))
        return batch < 1

    scores = score(net, 5, look)
    assert scores.batches == len(losses) == 2
    assert scores.loss == pytest.approx(sum(losses) / 2)


def test_nobody_needs_to_look():
    assert score(Net(small_net(), TEST), 4).batches == 4
