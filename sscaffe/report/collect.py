"""What the folder of a run holds that a report can show."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sscaffe.errors import DataError, SscaffeError
from sscaffe.glog import logger
from sscaffe.training_log import TrainingLog, parse_training_log
from sscaffe.zero_table import Weights, weights_of_file

_SNAPSHOT = re.compile(r"Snapshotting to (?:binary proto|HDF5) file (\S+\.caffemodel(?:\.h5)?)")

# What a pipeline logs before each training; one log may hold several.
_STAGE = re.compile(r"^I.*\] (baseline|ssl|finetune): begins$", re.MULTILINE)


@dataclass
class Run:
    """What there is to show.

    Attributes
    ----------
    logs : dict of str to TrainingLog
        By the name of the file.
    weights : list of Weights
        Those of the last caffemodel.
    weights_file : str
        Its name.
    timings : dict of str to Any
        What ``sscaffe time --json`` wrote, by the name of the file.
    trials : list of dict
        Those of a sweep.
    """

    name: str
    logs: dict[str, TrainingLog] = field(default_factory=dict)
    weights: list[Weights] = field(default_factory=list)
    weights_file: str = ""
    timings: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)


def collect(path: Path) -> Run:
    """Read a run: its logs, last weights, timings and sweep.

    Parameters
    ----------
    path : Path
        A folder, or the log of one training; then weights and timings are those beside it that the
        log names.

    Raises
    ------
    DataError
        If there is nothing to show, or it cannot be read.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such folder or log; expected the folder of a run")
    run = Run(path.resolve().name)
    models: list[Path] = []
    for log in sorted(path.glob("*.log"), key=_age) if path.is_dir() else [path]:
        models += _read_log(run, log)
    if path.is_dir():
        run.trials = list(_trials(path / "sweep.jsonl"))
        run.timings = dict(_timings(path))
        models = [*path.glob("*.caffemodel"), *path.glob("*.caffemodel.h5")]
    _read_weights(run, models)
    if not (run.logs or run.trials or run.timings or run.weights):
        raise DataError(
            f"{path}: expected the log of a training (NAME.log), weights (.caffemodel), timings "
            "(.json, of sscaffe time --json) or a sweep (sweep.jsonl), got none of them"
        )
    return run


def _age(path: Path) -> tuple[float, str]:
    """Return what puts the trainings of a folder in their order."""
    return path.stat().st_mtime, path.name


def _read_log(run: Run, path: Path) -> list[Path]:
    """Read a log; return the caffemodels that it names and that are there."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    year = datetime.fromtimestamp(path.stat().st_mtime).year
    for stage, part in _trainings(text).items():
        log = parse_training_log(part.split("\n"), year)
        if log.train or log.test:
            run.logs[f"{path.stem}: {stage}" if stage else path.stem] = log
    named = [Path(name) for name in _SNAPSHOT.findall(text)]
    return [place for n in named for place in (n, path.parent / n.name) if place.is_file()][-1:]


def _trainings(text: str) -> dict[str, str]:
    """Return the log of each training, by the stage of the pipeline if it is one of several.

    A stage that was stopped and went on later is one training.
    """
    before, *rest = _STAGE.split(text)
    found = {"": before}
    for stage, part in zip(rest[::2], rest[1::2], strict=True):
        found[stage] = found.get(stage, "") + part
    return found


def _read_weights(run: Run, models: list[Path]) -> None:
    for model in sorted(models, key=lambda m: m.stat().st_mtime, reverse=True)[:1]:
        try:
            run.weights, run.weights_file = weights_of_file(model), model.name
        except SscaffeError as error:
            logger.warning("the weights are left out: %s", error)


def _trials(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            trial = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: expected a trial as JSON, got {line!r}") from error
        if isinstance(trial, dict):
            yield trial


def _timings(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue  # of somebody else
        layers = content.get("layers") if isinstance(content, dict) else None
        if layers and all({"modes", "best"} <= x.keys() or "forward" in x for x in layers):
            yield path.stem, content
