"""The watchdog of a rank: when it bites, and when it sleeps."""

import threading
import time

import pytest

from sscaffe.errors import SscaffeError
from sscaffe.parallel import watchdog as module
from sscaffe.parallel.news import DEADLINE, LAUNCH, Ear, News, tell
from sscaffe.parallel.watchdog import PATIENCE, Watchdog, given_deadline


@pytest.fixture
def left():
    """Return what a watchdog calls to end the process, which here goes on."""
    return _Left()


class _Left:
    def __init__(self):
        self.event, self.status = threading.Event(), None

    def __call__(self, status):
        self.status = status
        self.event.set()


def test_it_bites_if_no_step_ends(left, caplog):
    with Watchdog(3, 0.2, leave=left) as dog:
        dog.step()
        before = time.monotonic()
        assert left.event.wait(5)
    assert left.status == 75
    assert 0.15 < time.monotonic() - before < 2
    words = "no step on rank 3 for 0.2 s after step 1, where 0.2 s are allowed: it stands in "
    assert words in caplog.text
    assert "all others have to wait for it" in caplog.text


def test_who_waits_gives_way_to_whom_others_wait_for(left, caplog):
    called = []
    with Watchdog(3, 0.2, leave=left) as dog:
        dog.before_leaving.append(lambda: called.append(left.status))
        dog.step()
        with dog.waiting():
            assert not left.event.wait(0.9)
            assert left.event.wait(5)
    assert "it waits in threading.py:" in caplog.text
    assert "another rank did not come, or the network is cut" in caplog.text
    assert called == [None]


def test_the_first_step_may_take_long(left):
    with Watchdog(0, 0.05, leave=left) as dog:
        assert dog.limit == PATIENCE
        dog.feed()
        assert not left.event.wait(0.3)


def test_steps_and_meals_keep_it_quiet(left):
    with Watchdog(0, 0.5, leave=left) as dog:
        for _ in range(10):
            time.sleep(0.1)
            dog.step()
            dog.feed()
    assert left.status is None


def test_a_snapshot_may_take_long(left):
    with Watchdog(0, 0.2, leave=left) as dog:
        dog.step()
        with dog.patiently():
            assert not left.event.wait(0.5)
        assert left.event.wait(5)


def test_the_deadline_is_ten_times_the_median_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    dog = Watchdog(0)
    dog.step()
    for seconds in (3.0, 100.0, 2.0):
        now[0] += seconds
        dog.step()
    assert dog.limit == 60
    for seconds in (7.0, 8.0, 9.0, 10.0):
        now[0] += seconds
        dog.step()
    assert dog.limit == 80
    with dog.patiently():
        assert dog.limit == PATIENCE
        now[0] += 1000
    now[0] += 8.0
    dog.step()
    assert dog.limit == 80


def test_the_environment_may_give_the_deadline(monkeypatch):
    monkeypatch.setenv(DEADLINE, "2.5")
    assert Watchdog(0).deadline == 2.5
    assert Watchdog(0, 4.0).deadline == 4.0


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_deadline_is_a_positive_number(monkeypatch, text):
    monkeypatch.setenv(DEADLINE, text)
    with pytest.raises(SscaffeError, match=f"positive number of seconds, got '{text}'"):
        given_deadline()


def test_the_time_in_which_it_was_stopped_does_not_count(left, monkeypatch):
    real, jump = time.monotonic, [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: real() + jump[0])
    with Watchdog(0, 1.0, leave=left) as dog:
        dog.step()
        time.sleep(0.2)
        jump[0] += 1000
        assert not left.event.wait(0.4)
        assert left.event.wait(5)


def test_news_are_told_to_a_launcher_alone(capfd, monkeypatch):
    monkeypatch.delenv(LAUNCH, raising=False)
    tell(News("alive", 0, 1.0, 2))
    assert capfd.readouterr().err == ""
    monkeypatch.setenv(LAUNCH, "here")
    for at, heard in [("", ""), ("a.py:12", "a.py:12"), ("<é> x.py:1", "____x.py:1")]:
        tell(News("alive", 12, 60.5, 1000, at))
        news = News("alive", 12, 60.5, 1000, heard)
        assert Ear().listen(capfd.readouterr().err.encode()) == (b"", [news])


STREAM = b"one\x1ealive 0 60.0 5 x-y.py:12\x1f\x1eleft 1 2.5 7 \x1ftwo"


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_news_are_taken_out_of_the_stream_wherever_it_is_cut(at):
    ear = Ear()
    first, second = ear.listen(STREAM[:at]), ear.listen(STREAM[at:])
    assert first[0] + second[0] == b"onetwo"
    alive, left = News("alive", 0, 60.0, 5, "x-y.py:12"), News("left", 1, 2.5, 7)
    assert first[1] + second[1] == [alive, left]


def test_what_only_looks_like_news_is_shown():
    ear = Ear()
    text = b"\x1eall of it \xff\n"
    assert ear.listen(text) == (text, [])
