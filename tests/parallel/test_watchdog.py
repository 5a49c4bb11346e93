"""The watchdog of a rank: when it bites, and when it sleeps."""

import contextlib
import os
import threading
from types import SimpleNamespace

import pytest

from sscaffe.errors import SscaffeError
from sscaffe.parallel import news, watchdog as module
from sscaffe.parallel.news import DEADLINE, LAUNCH, Ear, News, tell
from sscaffe.parallel.watchdog import PATIENCE, Watchdog, given_deadline


class Left:
    """What a watchdog calls to end the process, which here goes on."""

    def __init__(self):
        self.event, self.status = threading.Event(), None

    def __call__(self, status):
        self.status = status
        self.event.set()


class Time:
    """Stands for the clock, and for what the thread of a watchdog waits on.

    `run` lets the thread of a watchdog look for so many seconds, in this thread: whoever is late,
    on whatever machine, it is none of the two.
    """

    def __init__(self, dog, monkeypatch):
        self.now, self.dog = 0.0, dog
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        dog._begin, dog._closed = 0.0, self
        self._left, self._jumps, self._happens = 0.0, [], {}

    def wait(self, tick):
        """Let the time from one look to the next pass; true if the rank has ended meanwhile."""
        passed = self._jumps.pop() if self._jumps else tick
        for at in sorted(at for at in self._happens if self.now < at <= self.now + passed):
            self._happens.pop(at)()
        self.now, self._left = self.now + passed, self._left - passed
        return self._left < -1e-9

    def run(self, seconds, *, jump=0.0, happens=None):
        """Return when the dog has bitten, in seconds from here; nothing if it has not."""
        self._left, begin, self._jumps = seconds + jump, self.now, [jump] if jump else []
        self._happens = {begin + at: call for at, call in (happens or {}).items()}
        self.dog._watch()
        return self.now - begin if self.dog._leave.status is not None else None


@pytest.fixture(autouse=True)
def _long_last_words(monkeypatch):
    monkeypatch.setattr(module, "_LOGGING", 60.0)


@pytest.fixture
def watched(monkeypatch):
    """Return a watchdog of some deadline, whose process goes on, and its time."""

    def make(rank, deadline):
        dog = Watchdog(rank, deadline, leave=Left())
        return dog, Time(dog, monkeypatch)

    return make


def test_it_bites_if_no_step_ends(caplog):
    left = Left()
    with Watchdog(3, 0.2, leave=left) as dog:
        dog.step()
        assert left.event.wait(60)
    assert left.status == 75
    words = "no step on rank 3 for 0.2 s after step 1, where 0.2 s are allowed: it stands in "
    assert words in caplog.text
    assert "all others have to wait for it" in caplog.text


@pytest.mark.parametrize("deadline", [0.2, 2.0, 60.0])
def test_it_bites_when_the_deadline_is_over(watched, deadline):
    dog, time = watched(3, deadline)
    dog.step()
    bitten = time.run(10 * deadline)
    assert deadline < bitten < 1.3 * deadline  # it looks ten times, or each second


def test_who_waits_gives_way_to_whom_others_wait_for(watched, caplog):
    dog, time = watched(3, 2.0)
    called = []
    dog.before_leaving.append(lambda: called.append(dog._leave.status))
    dog.step()
    with dog.waiting():
        assert 3.0 < time.run(10) < 3.5
    assert "it waits in threading.py:" in caplog.text  # for its last words
    assert "another rank did not come, or the network is cut" in caplog.text
    assert called == [None]


def test_the_first_step_may_take_long(watched):
    dog, time = watched(0, 0.5)
    assert dog.limit == PATIENCE
    dog.feed()
    assert time.run(PATIENCE - 1) is None
    dog.feed()
    assert time.run(PATIENCE + 10) > PATIENCE


def test_steps_and_meals_keep_it_quiet(watched):
    for eat in ("step", "feed"):
        dog, time = watched(0, 1.0)
        dog.step()
        assert time.run(10, happens={0.9 * i: getattr(dog, eat) for i in range(1, 12)}) is None
        assert time.run(10) is not None


def test_a_snapshot_may_take_long(watched):
    dog, time = watched(0, 0.2)
    dog.step()
    with dog.patiently():
        assert time.run(500) is None
    assert 0.2 < time.run(5) < 0.3


@pytest.mark.parametrize("what", ["a snapshot", "the first step"])
def test_what_may_take_long_may_end_at_any_moment(watched, monkeypatch, what):
    dog, time = watched(0, 2.0)
    with contextlib.ExitStack() as patience:
        if what == "a snapshot":
            dog.step()
            patience.enter_context(dog.patiently())
        calls = [patience.close if what == "a snapshot" else dog.step]
        limit = Watchdog.limit.fget

        def ends_while_the_dog_looks(self):
            if time.now > 300 and calls:
                calls.pop()()
            return limit(self)

        monkeypatch.setattr(Watchdog, "limit", property(ends_while_the_dog_looks))
        assert time.run(301) is None
        assert not calls
        assert time.run(5) is not None


def test_the_deadline_is_ten_times_the_median_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
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


def test_the_time_in_which_it_was_stopped_does_not_count(watched):
    dog, time = watched(0, 1.0)
    dog.step()
    assert time.run(0.6, jump=1000) is None
    assert time.run(5) is not None


def test_news_are_told_to_a_launcher_alone(capfd, monkeypatch):
    monkeypatch.delenv(LAUNCH, raising=False)
    tell(News("alive", 0, 1.0, 2))
    assert capfd.readouterr().err == ""
    monkeypatch.setenv(LAUNCH, "here")
    for at, heard in [("", ""), ("a.py:12", "a.py:12"), ("<é> x.py:1", "____x.py:1")]:
        tell(News("alive", 12, 60.5, 1000, at))
        told = News("alive", 12, 60.5, 1000, heard)
        assert Ear().listen(capfd.readouterr().err.encode()) == (b"", [told])


def test_what_was_written_is_read_before_a_rank_ends(monkeypatch, tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as from_there, os.fdopen(writer, "wb", buffering=0) as there:
        there.write(b"last words")
        assert news._unread(writer) == 10
        from_there.read(10)
        assert news._unread(writer) == 0
    with (tmp_path / "log").open("wb") as file:
        file.write(b"nobody reads a file")
        file.flush()
        assert news._unread(file.fileno()) == 0
    left = [3, 0, 2, 2, 0, 0]
    monkeypatch.setattr(news, "_unread", lambda descriptor: left.pop(0))
    news.wait_until_read(60)
    assert not left
    monkeypatch.setattr(news, "_unread", lambda descriptor: 1)
    news.wait_until_read(0.02)  # It has an end.


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
