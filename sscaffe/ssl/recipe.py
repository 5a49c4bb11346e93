"""The solvers of SSL and of fine-tuning, and the files of all four.

The rules of thumb are those of the authors of SSL: both start at a tenth of the learning rate of
training from scratch, M iterations of which become M / 2 and M / 3; the first learning rate of SSL
lasts for 0.7 of it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from sscaffe.errors import PrototxtError, SscaffeError
from sscaffe.files import write_atomically
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt import format_net, parse_net, parse_solver, read_net, read_text
from sscaffe.ssl.nets import Groups, are_scaled, finetune_net, ssl_net
from sscaffe.upgrade import upgrade_net, upgrade_solver

_Net = caffe_pb2.NetParameter
_Settings = caffe_pb2.SolverParameter

_ENDINGS = ("_solver", "_train_test", "_train_val", "_train", "_baseline")
# What belongs to one training and not to the next.
_OF_ONE_TRAINING = (
    *("net_param", "train_net_param", "weights", "power", "stepsize", "stepvalue", "gamma"),
    *("snapshot", "breadth_decay", "kernel_shape_decay", "block_group_decay"),
    *("regularization_step", "lasso_warmup_iter", "target_sparsity", "target_flops"),
    "prune_threshold",
)


@dataclass(frozen=True)
class Base:
    """What there is to begin with."""

    name: str
    folder: Path
    net: _Net
    net_file: str
    solver: _Settings
    solver_file: str  # empty if there was none, and `solver` is what is usual


@dataclass(frozen=True)
class Recipe:
    """The files that were written."""

    ssl_net: Path
    ssl_solver: Path
    finetune_net: Path
    finetune_solver: Path
    strength: float


def read_base(path: str | os.PathLike[str]) -> Base:
    """Read a net, or a solver and the net that it names.

    Raises
    ------
    SscaffeError
        If it is neither, or the solver has no field `net`.
    """
    path, text = os.fspath(path), read_text(path)
    name = _short(Path(path).stem)
    try:
        net = upgrade_net(parse_net(text, path), path)
    except PrototxtError as error:
        try:
            solver = upgrade_solver(parse_solver(text, path), path)
        except PrototxtError as other:
            raise max((error, other), key=lambda e: (e.line or 0, e.column or 0)) from None
        if not solver.HasField("net"):
            raise PrototxtError("net: expected a file with both phases of the net", path) from None
        net = upgrade_net(read_net(solver.net), solver.net)
        return Base(name, Path(path).parent, net, solver.net, solver, path)
    return Base(name, Path(path).parent, net, path, _usual_solver(path, net), "")


def write_recipe(
    base: Base,
    groups: Groups,
    out: Path,
    strength: float,
    *,
    weights: str = "",
    proximal: bool = False,
    force: bool = False,
) -> Recipe:
    """Write nets and solvers of SSL and fine-tuning.

    Parameters
    ----------
    base : Base
        What `read_base` found.
    groups : mapping
        What `choose_groups` chose.
    out : Path
        The folder to write to, which is made if need be.
    strength : float
        block_group_decay.
    weights : str
        The caffemodels to start from; by default the last snapshot of the solver of `base`.
    proximal : bool
        Take proximal steps, which groups of Scale layers get in any case.
    force : bool
        Replace files that are there.

    Raises
    ------
    SscaffeError
        If a file is there already or cannot be written; then none was written.
    """
    stem = os.path.normpath(out / base.name)
    ends = ("ssl_train_test", "ssl_solver", "finetune_train_test", "finetune_solver")
    one, two, three, four = (Path(f"{stem}_{end}.prototxt") for end in ends)
    recipe = Recipe(one, two, three, four, strength)
    ssl, finetune = _ssl_solver(base, recipe, stem), _finetune_solver(base, recipe, stem)
    ssl.weights.extend([weights] if weights else _last_snapshot(base))
    if not proximal and are_scaled(base.net, groups):
        logger.info("regularization_step: PROXIMAL is taken, as factors of Scale are not pruned")
    if proximal or are_scaled(base.net, groups):
        ssl.regularization_step = _Settings.PROXIMAL
    contents = {
        recipe.ssl_net: ("SSL: weights of a group go to zero together", ssl_net(base.net, groups)),
        recipe.ssl_solver: ("SSL, from trained weights", ssl),
        recipe.finetune_net: (
            "Fine-tuning: rows and columns of zeros stay zero",
            finetune_net(base.net, groups),
        ),
        recipe.finetune_solver: ("Fine-tuning, from the weights that SSL left", finetune),
    }
    for path in contents:
        if path.exists() and not force:
            raise SscaffeError(f"{path}: is there already; choose another --out, or add --force")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SscaffeError(f"out: {out} cannot be made: {error.strerror}") from error
    for path, (title, message) in contents.items():
        text = f"# {title}. Written by sscaffe init.\n{format_net(message)}"
        write_atomically(path, text.encode())
    return recipe


def _ssl_solver(base: Base, recipe: Recipe, stem: str) -> _Settings:
    count = max(1, base.solver.max_iter // 2)
    steps = [round(0.7 * count), round(0.9 * count)]
    solver = _next_solver(base, recipe.ssl_net, f"{stem}_ssl", count, steps)
    solver.block_group_decay = recipe.strength
    return solver


def _finetune_solver(base: Base, recipe: Recipe, stem: str) -> _Settings:
    count = max(1, base.solver.max_iter // 3)
    steps = [round(count / 3), round(2 * count / 3)]
    solver = _next_solver(base, recipe.finetune_net, f"{stem}_finetune", count, steps)
    solver.weights.append(f"{stem}_ssl_iter_{max(1, base.solver.max_iter // 2)}.caffemodel")
    return solver


def _next_solver(base: Base, net: Path, prefix: str, count: int, steps: list[int]) -> _Settings:
    solver = _Settings()
    solver.CopyFrom(base.solver)
    for field in _OF_ONE_TRAINING:
        solver.ClearField(field)
    solver.net, solver.snapshot_prefix = str(net), prefix
    # 0.1 in single precision is not 0.1, and people read this.
    solver.base_lr = float(f"{base.solver.base_lr / 10:.6g}")
    solver.lr_policy, solver.gamma, solver.max_iter = "multistep", 0.1, count
    solver.stepvalue.extend(steps)
    solver.snapshot = max(1, count // 5)
    return solver


def _last_snapshot(base: Base) -> list[str]:
    solver = base.solver
    if not base.solver_file or not solver.snapshot_prefix:
        return []
    return [f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel"]


def _usual_solver(path: str, net: _Net) -> _Settings:
    """Return a solver as LeNet has it, for a net that came without one."""
    solver = _Settings(net=path, base_lr=0.01, momentum=0.9, weight_decay=0.0005, max_iter=10000)
    solver.lr_policy, solver.display = "fixed", 100
    solver.random_seed, solver.solver_mode = 1701, _Settings.CPU
    phases = [rule.phase for layer in net.layer for rule in layer.include if rule.HasField("phase")]
    if caffe_pb2.TEST in phases:
        solver.test_iter.append(100)
        solver.test_interval = 500
    logger.warning(
        "%s is a net and no solver: base_lr 0.01 and max_iter 10000 are taken for those of its "
        "training; correct the solvers, or name its solver instead",
        path,
    )
    return solver


def _short(stem: str) -> str:
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    return stem if stem and stem != "solver" else "net"
