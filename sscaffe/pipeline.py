"""Baseline, SSL, fine-tuning, squeezing, timing: one job that goes on where it was stopped.

The folder of a run holds ``pipeline.json``: what was asked for, and what each stage that is done
found. A training that was stopped goes on from its last snapshot.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sscaffe import ssl
from sscaffe.errors import SscaffeError
from sscaffe.files import write_atomically
from sscaffe.glog import logger
from sscaffe.net import Net
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import read_solver, write_text
from sscaffe.solver import Solver, get_solver
from sscaffe.solver.lock import locked
from sscaffe.solver.newest import newest_complete
from sscaffe.solver.target import kept_flops
from sscaffe.sparsity import kept_columns, kept_rows

STAGES = ("baseline", "ssl", "finetune", "squeeze", "time")
TRAININGS = STAGES[:3]
STATE = "pipeline.json"

Stage = dict[str, Any]
"""What a stage found, as JSON can hold it; a training has at least `weights`."""

Train = Callable[[Solver, str], bool]
"""Trains a solver to its end, on from a solverstate if there is one; False if it was stopped."""


def train(solver: Solver, state: str) -> bool:
    """Train without heeding signals."""
    solver.solve(state or None)
    return True


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes
    ----------
    source : str
        The solver of the baseline.
    weights : str
        Trained weights that take the place of the baseline's training, or nothing.
    kinds, layers : tuple of str
        As for `ssl.choose_groups`.
    strength : float, optional
        Lambda; by default where it weighs as much as the loss.
    batches : int
        For that.
    proximal : bool
        Take proximal steps.
    settings : tuple of str
        Changes of the solver of SSL, ``field=value``.
    """

    source: str
    weights: str
    kinds: tuple[str, ...]
    layers: tuple[str, ...]
    strength: float | None
    batches: int
    proximal: bool
    settings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return json.loads(json.dumps(vars(self)))  # type: ignore[no-any-return]


class Pipeline:
    """One run in its folder.

    Parameters
    ----------
    plan : Plan
        What is asked for; the same as before if the folder has a run already.
    folder : Path
        Where everything is written; made if need be.
    later : mapping of str to callable
        The stages after the trainings: each gets this object and returns what it found.
    train : callable
        Trains.
    apply_settings : callable
        Makes the changes of ``plan.settings`` to a solver.

    Raises
    ------
    SscaffeError
        If the folder has a run of another plan, or a state that cannot be read.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        later: Mapping[str, Callable[["Pipeline"], Stage]],
        train: Train = train,
        apply_settings: Callable[[caffe_pb2.SolverParameter, Sequence[str]], None] | None = None,
    ) -> None:
        self.plan, self.folder, self._later, self._train = plan, folder, later, train
        self._apply_settings = apply_settings
        self.base = ssl.read_base(plan.source)
        if not self.base.solver_file:
            raise SscaffeError(f"{plan.source}: expected a solver, got a net")
        self.groups = ssl.choose_groups(self.base.net, plan.kinds, plan.layers)
        self.done: dict[str, Stage] = self._load()

    def run(self, stages: Sequence[str] = STAGES) -> bool:
        """Run the stages that are not done yet.

        Parameters
        ----------
        stages : sequence of str
            Which of them, in any order.

        Returns
        -------
        bool
            False if a training was stopped; the next `run` goes on there.

        Raises
        ------
        SscaffeError
            If a stage cannot run, or one that it needs was left out and is not done.
        """
        for name in stages:
            if name not in STAGES:
                raise SscaffeError(f"stages: expected some of {', '.join(STAGES)}, got {name!r}")
            if name not in TRAININGS and name not in self._later:
                raise SscaffeError(f"stages: this version has no {name}; leave it out")
        for name in (one for one in STAGES if one in stages):
            if name in self.done:
                logger.info("%s: done already", name)
                continue
            needed = TRAININGS[: STAGES.index(name)]
            missing = [one for one in needed if one not in self.done]
            if missing:
                raise SscaffeError(f"stages: {name} needs {missing[0]}, which is not done; add it")
            logger.info("%s: begins", name)
            found = self._later[name](self) if name in self._later else self._stage(name)
            if found is None:
                return False
            self.done[name] = found
            self._save()
        return True

    def weights(self, stage: str) -> str:
        """Return the caffemodel that a stage ended with."""
        return str(self.done[stage]["weights"])

    def _stage(self, name: str) -> Stage | None:
        if name == "baseline":
            return self._given_baseline() if self.plan.weights else self._baseline()
        if name == "ssl":
            recipe = self._recipe()
            return self._trained(name, recipe["ssl_solver"], self.weights("baseline"))
        return self._trained(name, self._recipe()["finetune_solver"], self.weights("ssl"))

    def _given_baseline(self) -> Stage:
        """Score the weights that are there already."""
        settings = caffe_pb2.SolverParameter()
        settings.CopyFrom(self.base.solver)
        del settings.weights[:]
        settings.weights.append(self.plan.weights)
        with get_solver(settings) as solver:
            return self._found(solver, self.plan.weights)

    def _baseline(self) -> Stage | None:
        settings = caffe_pb2.SolverParameter()
        settings.CopyFrom(self.base.solver)
        settings.snapshot_prefix = str(self.folder / "baseline")
        most = max(1, settings.max_iter // 5)
        settings.snapshot = min(settings.snapshot or most, most)
        path = self.folder / "baseline_solver.prototxt"
        write_text(path, settings)
        return self._trained("baseline", str(path), ",".join(settings.weights))

    def _recipe(self) -> dict[str, str]:
        """Return the files of SSL and fine-tuning; write them if that was not done."""
        if "recipe" not in self.done:
            strength = self.plan.strength or self._balanced()
            written = ssl.write_recipe(
                self.base,
                self.groups,
                self.folder,
                strength,
                weights=self.weights("baseline"),
                proximal=self.plan.proximal,
                force=True,
            )
            self.done["recipe"] = {name: str(path) for name, path in vars(written).items()}
            self.done["recipe"]["strength"] = strength
            self._save()
        return self.done["recipe"]

    def _balanced(self) -> float:
        net = ssl.ssl_net(self.base.net, self.groups)
        weights = self.weights("baseline").split(",")
        found = ssl.balance(net, weights, self.plan.batches, self.base.net_file)
        return float(f"{found.strength:.3g}")

    def _trained(self, stage: str, solver_file: str, weights: str) -> Stage | None:
        """Train as a solver file says, on from its last snapshot if there is one."""
        settings = read_solver(solver_file)
        if stage == "ssl" and self._apply_settings:
            self._apply_settings(settings, self.plan.settings)
        with locked(settings.snapshot_prefix, "out"):
            state = newest_complete(settings.snapshot_prefix)
            del settings.weights[:]
            if not state and weights:
                settings.weights.extend(weights.split(","))
            with get_solver(settings) as solver:
                solver.require_room()
                if not self._train(solver, state):
                    return None
                return self._found(solver, str(Path(solver.snapshot_path or state)))

    def _found(self, solver: Solver, path: str) -> Stage:
        """Return what there is to know of a net, and test it once more."""
        tests = solver.test_all() if solver.test_nets else []
        return {
            "weights": path.replace(".solverstate", ".caffemodel"),
            "iterations": solver.iter,
            "test": [{name: mean.tolist() for name, mean in test.items()} for test in tests],
            "flops": kept_flops(solver.net),
            "kept": {name: _kept(solver.net, name) for name in self.groups},
        }

    def _load(self) -> dict[str, Stage]:
        path = self.folder / STATE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            plan, done = state["plan"], dict(state["done"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SscaffeError(
                f"{path}: is not the state of a pipeline ({error}); choose another --out"
            ) from error
        asked = self.plan.as_json()
        # The baseline may be in training, but nobody has made anything of the rest.
        names = asked if done else ("source", "weights")
        for name in names:
            if plan.get(name) != asked[name]:
                raise SscaffeError(
                    f"{path}: is of another run, with {name} {plan.get(name)!r} instead of "
                    f"{asked[name]!r}; choose another --out, or remove the folder"
                )
        return done

    def _save(self) -> None:
        text = json.dumps({"plan": self.plan.as_json(), "done": self.done}, indent=2)
        write_atomically(self.folder / STATE, f"{text}\n".encode())

    def prepare(self) -> None:
        """Make the folder.

        Raises
        ------
        SscaffeError
            If that cannot be.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SscaffeError(f"out: {self.folder} cannot be made: {error.strerror}") from error
        self._save()


def _kept(net: Net, layer: str) -> dict[str, int]:
    """Return the size of a layer's weight matrix, and that without rows and columns of zeros."""
    param = next(one for one in net.all_params if one.layer_name == layer and one.index == 0)
    matrix = param.host_data.reshape(param.matrix_shape)
    return {
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "kept_rows": sum(len(rows) for rows in kept_rows(matrix, param.group)),
        "kept_columns": max(len(columns) for columns in kept_columns(matrix, param.group)),
    }
