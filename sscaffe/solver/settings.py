"""What a SolverParameter asks for: checked, and completed where fields depend on each other."""

from collections.abc import Sequence

from sscaffe import unsupported
from sscaffe.blob import Param
from sscaffe.device import Device, default, gpu
from sscaffe.errors import PrototxtError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.solver.learning_rate import check_policy
from sscaffe.solver.regularizers import Regularizer
from sscaffe.upgrade import upgrade_solver

_Settings = caffe_pb2.SolverParameter

SMALL_WEIGHT = 1e-4
"""Below this, weights are zero for Caffe's fork: the prune_threshold of sparse training."""

# The least value of each field.
_LEAST = {
    "iter_size": 1,
    "average_loss": 1,
    "max_iter": 0,
    "display": 0,
    "snapshot": 0,
    "test_interval": 0,
    "prune_threshold": 0,
    "lasso_warmup_iter": 0,
    "target_interval": 1,
}


def checked(param: _Settings) -> _Settings:
    """Return a copy of a SolverParameter in which `type` is set, after checking the rest.

    Raises
    ------
    PrototxtError
        If a field has a value that it cannot have.
    UnsupportedError
        If a field asks for what there is not.
    """
    settings = _Settings()
    settings.CopyFrom(upgrade_solver(param))
    settings.type = settings.type  # so that it is set where it had its default
    check_policy(settings)
    for name, least in _LEAST.items():
        value = getattr(settings, name)
        if value < least:
            raise PrototxtError(f"{name}: expected {least} or more, got {value:g}")
    for name in ("target_sparsity", "target_flops"):
        value = getattr(settings, name)
        if settings.HasField(name) and not 0 < value < 1:
            raise PrototxtError(f"{name}: expected a share between 0 and 1, got {value:g}")
    unsupported.check(settings, "the solver")
    return settings


def device_for(settings: _Settings, device: Device | None) -> Device:
    """Return where to compute.

    Parameters
    ----------
    settings : SolverParameter
        solver_mode; only if it is written does GPU mean a GPU.
    device : Device, optional
        What the caller asks for.

    Raises
    ------
    UnsupportedError
        If that is a GPU and there is none.
    """
    wants_gpu = settings.HasField("solver_mode") and settings.solver_mode == _Settings.GPU
    if wants_gpu and (device is None or device.name == "cpu"):
        return gpu(settings.device_id)
    return device or default()


def prune_threshold(
    settings: _Settings, regularizers: Sequence[Sequence[Regularizer]], disconnects: bool
) -> float:
    """Return the magnitude below which weights become zero after each update.

    Parameters
    ----------
    settings : SolverParameter
        prune_threshold, if it is set.
    regularizers : sequence
        The terms of each parameter.
    disconnects : bool
        Whether a connectivity_mode is in use.
    """
    if settings.HasField("prune_threshold"):
        return float(settings.prune_threshold)
    sparse = disconnects or any(term.sparsifies for terms in regularizers for term in terms)
    return SMALL_WEIGHT if sparse else 0.0


def is_pruned(settings: _Settings, param: Param) -> bool:
    """Tell whether small weights of a parameter become zero."""
    if settings.prune_scope == _Settings.ALL:
        return True
    return param.learns and param.lr_mult > 0 and param.blob.ndim >= 2


def warn_of_idle_decays(settings: _Settings, params: Sequence[Param]) -> None:
    """Warn of each decay that no parameter takes, and of each factor that has no decay."""
    takers = {
        "weight_decay": ("decay_mult", [p for p in params if p.spec.decay_mult]),
        "block_group_decay": (
            "block_group_lasso",
            [p for p in params if any(b.block_decay_mult for b in p.spec.block_group_lasso)],
        ),
        "breadth_decay": (
            "breadth_decay_mult",
            [p for p in params if p.spec.breadth_decay_mult],
        ),
        "kernel_shape_decay": (
            "kernel_shape_decay_mult",
            [p for p in params if p.spec.kernel_shape_decay_mult],
        ),
    }
    for field, (factor, owners) in takers.items():
        decay = getattr(settings, field)
        if decay and not owners:
            logger.warning(
                "%s: %g has no effect, as no param of the net has a %s that is not 0",
                field,
                decay,
                factor,
            )
        elif owners and not decay and field != "weight_decay":
            logger.warning(
                "%s: without effect on %s, as the solver's %s is 0; set it",
                factor,
                ", ".join(param.name for param in owners),
                field,
            )
