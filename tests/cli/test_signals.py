"""Signals: what the first does, what the second does, what is put back."""

import signal

import pytest

from sscaffe.cli.signals import Signals

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


class Recorder:
    """Stands for a solver; notes what is asked of it."""

    def __init__(self):
        self.asked = []

    def request_stop(self):
        self.asked.append("stop")

    def request_snapshot(self):
        self.asked.append("snapshot")


@pytest.fixture
def recorder():
    return Recorder()


@pytest.mark.parametrize("effect", ["stop", "snapshot", "none"])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
def test_each_signal_has_its_effect(recorder, number, effect):
    interrupts = number in (signal.SIGINT, signal.SIGTERM)
    effects = (effect, "none") if interrupts else ("none", effect)
    signals = Signals(recorder, *effects)
    with signals.handled():
        signal.raise_signal(number)
    assert recorder.asked == ([] if effect == "none" else [effect])
    assert signals.status == (128 + number if effect == "stop" else 0)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
def test_the_second_signal_does_not_wait(recorder, number):
    signals = Signals(recorder, "stop", "stop")
    with signals.handled():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as end:
            signal.raise_signal(number)
    assert end.value.code == 128 + number
    assert recorder.asked == ["stop"]


def test_snapshots_may_be_asked_for_again(recorder):
    with Signals(recorder, "stop", "snapshot").handled():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGUSR1)
    assert recorder.asked == ["snapshot", "snapshot"]


def test_handlers_are_put_back(recorder):
    before = [signal.getsignal(number) for number in NUMBERS]
    with Signals(recorder, "stop", "snapshot").handled():
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_sigusr2_stands_for_sigint(recorder):
    signals = Signals(recorder, "stop", "none")
    with signals.handled():
        signal.raise_signal(signal.SIGUSR2)
    assert recorder.asked == ["stop"]
    assert signals.status == 128 + signal.SIGINT
