"""Many lambdas: SSL and fine-tuning with each, in processes of their own, and what is best.

A sweep's folder has a folder for each trial, a run of `sscaffe.pipeline`, and ``sweep.jsonl``, a
line of JSON for each trial that has begun. A sweep that was stopped goes on from there.
"""

import json
import math
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.files import write_atomically
from sscaffe.glog import logger
from sscaffe.hosts import SHELL_FAILED, Place
from sscaffe.pipeline import STATE

RESULTS = "sweep.jsonl"
DIVERGED = 3  # the exit status of a training that did; another time it would again

_POLL = 0.2  # seconds between two looks at the processes


@dataclass(frozen=True)
class Range:
    """Where lambda may lie."""

    low: float
    high: float
    log: bool

    def grid(self, count: int) -> list[float]:
        """Return values at equal distances, or equal ratios; three digits of each."""
        low, high = (math.log(v) if self.log else v for v in (self.low, self.high))
        steps = [low + (high - low) * i / max(1, count - 1) for i in range(count)]
        return [float(f"{math.exp(step) if self.log else step:.3g}") for step in steps]


@dataclass(frozen=True)
class Trial:
    """One lambda, and what came of it."""

    number: int
    strength: float
    status: str = "begun"  # then "done", or "failed" and why
    score: float | None = None
    flops: float | None = None  # share that is left
    iterations: int | None = None
    folder: str = ""
    reason: str = ""
    host: str = ""  # where it ran; empty for this machine


class Sampler(Protocol):
    """Chooses lambdas."""

    def __call__(self, number: int, trials: Sequence[Trial]) -> float:
        """Return that of a trial, given those before it."""


def parse_range(text: str) -> Range:
    """Read a range such as ``1e-5:1e-2:log``; ``lin`` is the other scale.

    Raises
    ------
    SscaffeError
        If it is none.
    """
    words = text.split(":")
    try:
        low, high, scale = float(words[0]), float(words[1]), words[2] if len(words) > 2 else "log"
    except (ValueError, IndexError):
        low, high, scale = 0.0, 0.0, ""
    if len(words) > 3 or scale not in ("log", "lin") or not 0 < low <= high < math.inf:
        raise SscaffeError(
            "lambda: expected LOW:HIGH:log or LOW:HIGH:lin, LOW above 0 and not above HIGH, got "
            f"{text!r}"
        )
    return Range(low, high, scale == "log")


def grid_sampler(found: Range, count: int) -> Sampler:
    """Return what takes the values of a grid one by one."""
    values = found.grid(count)
    return lambda number, trials: values[number]


def optuna_sampler(found: Range, seed: int = 1701) -> Sampler:
    """Return what lets Optuna choose, for a high score and few FLOPs.

    Raises
    ------
    UnsupportedError
        If Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UnsupportedError(
            'sampler: optuna is not installed; pip install "sscaffe[sweep]", or take grid'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {"lambda": optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)}

    def choose(number: int, trials: Sequence[Trial]) -> float:
        sampler = optuna.samplers.TPESampler(seed=seed + number)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        for trial in trials:
            # Optuna takes none from outside the range, which may have been another then.
            if trial.status == "done" and found.low <= trial.strength <= found.high:
                values = [trial.score, trial.flops]
                params = {"lambda": trial.strength}
                past = optuna.trial.create_trial(params=params, distributions=space, values=values)
                study.add_trial(past)
        rounded = float(f"{study.ask(space).params['lambda']:.3g}")
        return min(max(rounded, found.low), found.high)

    return choose


def pareto(trials: Sequence[Trial]) -> set[int]:
    """Return the numbers of the trials that no other beats in score and FLOPs both."""
    done = [(t.number, t.score, t.flops) for t in trials if t.status == "done"]
    points = [(n, score, flops) for n, score, flops in done if score is not None and flops]
    return {
        number
        for number, score, flops in points
        if not any(s >= score and f <= flops and (s > score or f < flops) for _, s, f in points)
    }


class Sweep:
    """The trials in their folder.

    Parameters
    ----------
    folder : Path
        Where everything is written; it exists.
    sampler : Sampler
        Chooses lambdas.
    command : callable
        Returns the words that run the trial of a lambda in a folder.
    score : callable
        Returns what is to be high, of the state of the trial's pipeline.

    Raises
    ------
    SscaffeError
        If the results that are there cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        sampler: Sampler,
        command: Callable[[float, Path], Sequence[str]],
        score: Callable[[Mapping[str, Any]], float],
    ) -> None:
        self.folder, self._sampler, self._command, self._score = folder, sampler, command, score
        self.trials: dict[int, Trial] = self._load()

    def run(self, count: int, places: Sequence[Place]) -> bool:
        """Run the trials that are not done, one at a time in each place.

        A host that its remote shell does not reach is given up; its trial goes to another.

        Returns
        -------
        bool
            False if SIGINT or SIGTERM stopped it, after each trial has taken a snapshot.

        Raises
        ------
        SscaffeError
            If no host is left, or the results of a host do not come here.
        """
        left = [n for n in range(count) if n not in self.trials or self._is_open(self.trials[n])]
        free, running = list(places), dict[int, tuple[Place, subprocess.Popen[bytes]]]()
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while left or running:
                while left and free:
                    number, place = left.pop(0), free.pop(0)
                    running[number] = place, self._begin(number, place)
                if not running:
                    raise SscaffeError("hosts: none of them can be reached any more")
                time.sleep(_POLL)
                for number in [n for n, (_, one) in running.items() if one.poll() is not None]:
                    place, process = running.pop(number)
                    if self._is_lost(number, place, process):
                        left.insert(0, number)
                        continue
                    self._end(number, process.returncode)
                    free.append(place)
        except KeyboardInterrupt:
            logger.info("stopping: each trial takes a snapshot")
            return False
        finally:
            for place, process in running.values():
                place.stop(process)
            for _, process in running.values():
                process.wait()
            signal.signal(signal.SIGTERM, before)
        return True

    def _is_open(self, trial: Trial) -> bool:
        return trial.status == "begun" or (trial.status == "failed" and trial.reason != "diverged")

    def _begin(self, number: int, place: Place) -> subprocess.Popen[bytes]:
        known = self.trials.get(number)
        strength = known.strength if known else self._sampler(number, list(self.trials.values()))
        folder = self.folder / f"trial_{number:03d}"
        self.trials[number] = Trial(number, strength, folder=str(folder), host=place.host)
        self._save()
        logger.info("trial %d: lambda %g%s", number, strength, place.host and f", on {place.host}")
        return place.start(self._command(strength, folder), Path(f"{folder}.log"))

    def _is_lost(self, number: int, place: Place, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether it was the host of a trial that failed, and log it."""
        if process.stdin:
            process.stdin.close()
        if not place.host or process.returncode != SHELL_FAILED:
            return False
        reason = _last_line(f"{self.trials[number].folder}.log")
        logger.warning("trial %d: host %s is given up (%s)", number, place.host, reason)
        return True

    def _end(self, number: int, status: int) -> None:
        trial = self.trials[number]
        if status == 0:
            last = self._done(trial)["finetune"]
            trial = replace(
                trial,
                status="done",
                score=self._score(last),
                flops=last["flops"],
                iterations=last["iterations"],
            )
        else:
            last_line = _last_line(f"{trial.folder}.log")
            reason = "diverged" if status == DIVERGED else last_line
            trial = replace(trial, status="failed", reason=reason)
            logger.warning("trial %d: failed (%s), see %s.log", number, reason, trial.folder)
        self.trials[number] = trial
        self._save()

    def _done(self, trial: Trial) -> dict[str, Any]:
        """Return what the pipeline of a trial has done."""
        path = Path(trial.folder, STATE)
        try:
            done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["done"]
        except FileNotFoundError as error:
            if not trial.host:
                raise
            raise SscaffeError(
                f"out: {path} was written on {trial.host} and is not here; expected a folder that "
                "all hosts share"
            ) from error
        return done

    def _load(self) -> dict[int, Trial]:
        path = self.folder / RESULTS
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            trials = [Trial(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise SscaffeError(f"{path}: is not the results of a sweep ({error})") from error
        return {trial.number: trial for trial in trials}

    def _save(self) -> None:
        lines = [json.dumps(asdict(self.trials[n])) for n in sorted(self.trials)]
        write_atomically(self.folder / RESULTS, ("\n".join(lines) + "\n").encode())


def _last_line(log: str) -> str:
    lines = Path(log).read_text(errors="replace").splitlines()
    return (lines or ["no reason given"])[-1]
