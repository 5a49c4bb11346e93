"""What ranks have in common, and what not."""

import numpy as np

from sscaffe.parallel.team import Team
from sscaffe.parallel.world import World
from sscaffe.random_numbers import RandomNumbers


class Rank(World):
    def __init__(self, rank, size=3):
        self.rank, self.size = rank, size


def test_random_numbers_part_from_rank_0():
    draws = []
    for rank in range(3):
        rng = RandomNumbers(7)
        rng.raw(5)
        Team(Rank(rank)).part(rng)
        draws.append((rng.seed, *rng.raw(4)))
    rest = RandomNumbers(7).raw(9)[5:]
    np.testing.assert_array_equal(draws[0], [7, *rest])
    assert len({number for row in draws for number in row}) == 15


def test_ranks_that_a_state_does_not_know_have_numbers_of_their_own():
    states = [RandomNumbers(seed).get_state() for seed in (1, 2)]
    draws = []
    for rank in range(4):
        rng = RandomNumbers(7)
        Team(Rank(rank, 4)).set_random_state(rng, states)
        draws.append(rng.raw(4))
    np.testing.assert_array_equal(draws[1], RandomNumbers(2).raw(4))
    assert len({int(number) for row in draws for number in row}) == 16


def test_another_number_of_ranks_is_said(caplog):
    states = [RandomNumbers(seed).get_state() for seed in (1, 2, 3)]
    for rank in (0, 1):
        Team(Rank(rank, 2)).set_random_state(RandomNumbers(7), states)
    Team(Rank(0, 3)).set_random_state(RandomNumbers(7), states)
    [record] = caplog.records
    words = (
        "The snapshot was taken by 3 ranks, and 2 go on: data goes on from the same record, but "
    )
    assert record.getMessage().startswith(words + "a step has 2 batches instead of 3")
    caplog.clear()
    Team().set_random_state(RandomNumbers(7), states)
    assert "taken by 3 ranks, and 1 goes on" in caplog.text


def test_a_team_of_one_changes_nothing():
    team, rng = Team(), RandomNumbers(7)
    team.part(rng)
    np.testing.assert_array_equal(rng.raw(4), RandomNumbers(7).raw(4))
    assert team.is_alone
    assert team.is_first
    assert team.reduce(0.5, True) == (0.5, True)
    assert team.mean(0.5) == 0.5
    assert not team.any(False)
