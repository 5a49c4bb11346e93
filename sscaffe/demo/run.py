"""The stages of the demo, one after the other, in a folder of their own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from sscaffe import prototxt, sparsity
from sscaffe.demo import nets, plots
from sscaffe.demo.images import Databases
from sscaffe.demo.stage import Stage
from sscaffe.layer import TEST
from sscaffe.net import Net
from sscaffe.progress import progress
from sscaffe.proto import caffe_pb2
from sscaffe.solver import Solver
from sscaffe.solver.scores import score
from sscaffe.timing import NetTiming, fill_inputs, time_in_turns

Array = npt.NDArray[Any]

_RECORD_EVERY = 10  # iterations between two points of a curve
_TESTS = 6  # of a stage
_TIMING_RUNS = 60
_LASSO = 0.012  # block_group_decay of the full length

_CCNMM = caffe_pb2.ConvolutionParameter.LOWERED_CCNMM
_DENSE = caffe_pb2.ConvolutionParameter.DIRECT_DCONV  # no mode would be AUTO, which sees zeros


@dataclass(frozen=True)
class Lengths:
    """Iterations of each stage."""

    baseline: int
    ssl: int
    finetune: int


FULL = Lengths(600, 1200, 500)
SHORT = Lengths(150, 300, 100)


@dataclass(frozen=True)
class DemoResult:
    """What the demo found."""

    folder: Path
    stages: list[Stage]
    dense: NetTiming
    sparse: NetTiming
    pictures: list[Path]
    batch: int  # images in what was timed
    seconds: float


class Demo:
    """Train LeNet, make it structurally sparse, fine-tune it, time it.

    Parameters
    ----------
    data : Databases
        What to train and test with.
    folder : Path
        Gets prototxts, snapshots and pictures; it exists.
    lengths : Lengths
        Iterations of each stage.
    say : callable
        Gets a line when a stage is done.
    """

    def __init__(
        self, data: Databases, folder: Path, lengths: Lengths, say: Callable[[str], None]
    ) -> None:
        self.data, self.folder, self.lengths, self.say = data, folder, lengths, say

    def run(self) -> DemoResult:
        """Run all stages."""
        start = time.monotonic()
        baseline = self._train(
            "baseline", nets.training_net(self.data), self.lengths.baseline, rate=0.01
        )
        ssl = self._train(
            "ssl",
            nets.ssl_net(self.data),
            self.lengths.ssl,
            rate=0.01,
            lasso=_LASSO * FULL.ssl / self.lengths.ssl,
            weights=baseline.caffemodel,
        )
        finetune = self._train(
            "finetune",
            nets.finetuned_net(self.data),
            self.lengths.finetune,
            rate=0.01,
            weights=ssl.caffemodel,
        )
        stages = [baseline, ssl, finetune]
        dense, sparse = self._time(finetune.caffemodel)
        pictures = plots.draw_all(self.folder, stages)
        seconds = time.monotonic() - start
        return DemoResult(self.folder, stages, dense, sparse, pictures, nets.TRAIN_BATCH, seconds)

    def _train(
        self,
        name: str,
        net: caffe_pb2.NetParameter,
        iterations: int,
        *,
        rate: float,
        lasso: float = 0,
        weights: str = "",
    ) -> Stage:
        net_file = self.folder / f"{name}_train_test.prototxt"
        prototxt.write_text(net_file, net)
        param = nets.solver(net_file, self.folder / name, iterations, rate=rate, lasso=lasso)
        if weights:
            param.weights.append(weights)
        solver_file = self.folder / f"{name}_solver.prototxt"
        prototxt.write_text(solver_file, param)
        start = time.monotonic()
        solver, stage = Solver(solver_file), Stage(name)
        with Net(net_file, TEST) as scored, progress(name, 0, iterations) as advance:
            scored.share_with(solver.net)
            while solver.iter < iterations:
                solver.step(min(_RECORD_EVERY, iterations - solver.iter))
                self._record(stage, solver, scored, iterations)
                tested = f", accuracy {stage.accuracy:.1f} %" if stage.accuracies else ""
                advance(solver.iter, f"loss {stage.losses[-1]:.3f}{tested}")
        stage.weights = {name: _matrix(solver.net, name) for name in nets.CONVOLUTIONS}
        stage.kept = {name: _kept(matrix) for name, matrix in stage.weights.items()}
        stage.caffemodel = str(self.folder / f"{name}.caffemodel")
        solver.net.save(stage.caffemodel)
        solver.close()
        stage.seconds = time.monotonic() - start
        self._report(stage)
        return stage

    def _record(self, stage: Stage, solver: Solver, scored: Net, iterations: int) -> None:
        """Note how the training stands."""
        stage.iterations.append(solver.iter)
        stage.losses.append(float(solver.net.blobs["loss"].host_data.item()))
        zeros = {}
        for name in nets.CONVOLUTIONS:
            matrix = _matrix(solver.net, name)
            zeros[f"{name} filters"] = sparsity.zero_rows(matrix)
            zeros[f"{name} columns"] = sparsity.zero_columns(matrix)
        stage.zeros.append(zeros)
        tests_due = solver.iter * _TESTS // iterations
        if tests_due > len(stage.tested) or solver.iter == iterations:
            stage.tested.append(solver.iter)
            scores = score(scored, self.data.test_batches)
            stage.accuracies.append(100 * float(scores.outputs["accuracy"]))

    def _report(self, stage: Stage) -> None:
        shapes = ", ".join(
            f"{name} {len(matrix)} x {matrix.shape[1]} -> {' x '.join(map(str, stage.kept[name]))}"
            for name, matrix in stage.weights.items()
        )
        left = "" if stage.name == "baseline" else f"  {shapes}"
        self.say(
            f"{stage.name:9}{stage.iterations[-1]:5} iterations  loss {stage.losses[-1]:.3f}  "
            f"accuracy {stage.accuracy:.2f} %  {stage.seconds:4.0f} s{left}"
        )

    def _time(self, caffemodel: str) -> tuple[NetTiming, NetTiming]:
        """Time the fine-tuned net, dense and in LOWERED_CCNMM, in turns."""
        timed = []
        for name, mode in (("deploy_dense", _DENSE), ("deploy_ccnmm", _CCNMM)):
            file = self.folder / f"{name}.prototxt"
            prototxt.write_text(file, nets.deployed_net(mode))
            net = Net(file, TEST, weights=caffemodel)
            fill_inputs(net)
            timed.append(net)
        dense, sparse = time_in_turns(timed, _TIMING_RUNS)
        return dense, sparse


def _matrix(net: Net, layer: str) -> Array:
    """Return a copy of a layer's weight matrix."""
    weights = net.params[layer][0]
    return weights.host_data.reshape(weights.shape[0], -1).copy()


def _kept(matrix: Array) -> tuple[int, int]:
    """Return how many rows and columns of a matrix are not zero."""
    return int(matrix.any(axis=1).sum()), int(matrix.any(axis=0).sum())
