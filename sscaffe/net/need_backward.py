"""Which layers run backward, and which of their bottoms get a diff.

A bottom needs a diff if some parameter below it learns; a layer runs backward if its tops, or what
follows from them, are part of the loss. ``propagate_down`` and ``force_backward`` overrule this.
"""

from collections.abc import Sequence

from sscaffe.net.step import Step


def mark_forward(step: Step, learns: bool, blob_needs: list[bool]) -> None:
    """Mark one layer, after all those below it.

    Parameters
    ----------
    step : Step
        The layer; its flags are set as far as the layers below tell.
    learns : bool
        Whether any of its parameters learns.
    blob_needs : list of bool
        For each blob of the net, whether anything below it learns; the tops are updated.
    """
    below = [blob_needs[i] for i in step.bottom_ids]
    asked = list(step.layer.layer_param.propagate_down)
    step.propagate_down = asked or below
    step.needs_backward = learns or any(below)
    if step.needs_backward:
        for i in step.top_ids:
            blob_needs[i] = True


def mark_backward(steps: Sequence[Step]) -> None:
    """Unmark the layers that no loss depends on, and those that nothing above sends a diff to.

    Parameters
    ----------
    steps : sequence of Step
        All layers, each marked by `mark_forward`.
    """
    under_loss: set[int] = set()
    skipped: set[int] = set()
    for step in reversed(steps):
        contributes = bool(step.losses) or not under_loss.isdisjoint(step.top_ids)
        if skipped.issuperset(step.top_ids) or not contributes:
            step.needs_backward = False
            step.propagate_down = [False] * len(step.bottom)
        for i, wanted in zip(step.bottom_ids, step.propagate_down, strict=True):
            if contributes:
                under_loss.add(i)
            if not wanted:
                skipped.add(i)


def force(steps: Sequence[Step]) -> None:
    """Mark every layer, every parameter, and every bottom that may have a diff."""
    for step in steps:
        step.needs_backward = True
        step.propagate_down = [
            wanted or step.layer.allow_force_backward(i)
            for i, wanted in enumerate(step.propagate_down)
        ]
        if step.layer.learns:
            step.layer.param_propagate_down = [True] * len(step.layer.blobs)
