"""Write the nets and solvers that make a net structurally sparse."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sscaffe import ssl
from sscaffe.cli import options, ssl_flags
from sscaffe.cli.flags import CaffeCommand
from sscaffe.cli.results import print_json, print_table
from sscaffe.errors import DataError, SscaffeError
from sscaffe.glog import logger
from sscaffe.proto import caffe_pb2
from sscaffe.timing.inputs import ImageShape

_EPILOG = (
    "Example: sscaffe init models/lenet/lenet_solver.prototxt --ssl filter,shape --out runs/lenet"
)
_LAMBDA = "Strength of group lasso; auto: where it weighs as much as the loss of the data."


@click.command(cls=CaffeCommand, short_help="Add SSL to a net.", epilog=_EPILOG)
@click.argument("source", metavar="SOLVER|NET")
@ssl_flags.kinds
@click.option("--layers", default="", metavar="NAMES", help="Which, with commas and wildcards.")
@click.option("--lambda", "strength", default="", metavar="NUMBER|auto", help=_LAMBDA)
@options.weights(required=False)
@click.option("--batches", default=10, metavar="NUMBER", help="For --lambda auto.")
@click.option("--proximal", is_flag=True, help="Take proximal steps: exact zeros, no threshold.")
@click.option("--out", default="", metavar="DIR", help="Where to write; where SOLVER is if unset.")
@options.shape
@options.force
@options.as_json
def command(source: str, as_json: bool, **flags: Any) -> int:
    """Write the net and solver of SSL and those of fine-tuning, and say what each group is.

    Of a SOLVER that trains from scratch in M iterations, SSL takes M / 2 and fine-tuning M / 3,
    both from a tenth of its learning rate. Without --lambda, the strength is auto if there are
    weights, else the weight_decay of the solver.
    """
    with options.logged():
        result = init(source, **flags)
    print_json(result) if as_json else _print(result)
    return 0


def init(
    source: str,
    *,
    kinds: str,
    layers: str,
    strength: str,
    weights: str,
    batches: int,
    proximal: bool,
    out: str,
    shape: str | None,
    force: bool,
) -> dict[str, Any]:
    """Do what the command says; see its flags.

    Raises
    ------
    SscaffeError
        If something does not fit.
    """
    base = ssl.read_base(source)
    groups = ssl.choose_groups(base.net, options.split(kinds), options.split(layers))
    net = ssl.ssl_net(base.net, groups)
    described = _described(net, options.image_shape(shape))
    measured: ssl.Balance | None = None
    if strength == "auto" or (weights and not strength):
        if not weights:
            logger.warning("lambda: auto of weights that are not trained; name some by --weights")
        measured = ssl.balance(net, options.split(weights), batches, base.net_file)
    value = measured.strength if measured else _number(strength, base.solver.weight_decay)
    recipe = ssl.write_recipe(
        base,
        groups,
        Path(out) if out else base.folder,
        float(f"{value:.3g}"),
        weights=weights,
        proximal=proximal,
        force=force,
    )
    return {
        "groups": [asdict(row) for row in described],
        "lambda": recipe.strength,
        "balance": measured and measured._asdict(),
        "written": [
            str(path)
            for path in (
                recipe.ssl_net,
                recipe.ssl_solver,
                recipe.finetune_net,
                recipe.finetune_solver,
            )
        ],
    }


def _described(net: caffe_pb2.NetParameter, image_shape: ImageShape | None) -> list[ssl.GroupRow]:
    try:
        return ssl.describe_groups(net, image_shape)
    except DataError as error:
        logger.warning("the groups cannot be counted here: %s", error)
        return []


def _number(text: str, usual: float) -> float:
    if not text:
        if usual > 0:
            return usual
        raise SscaffeError("lambda: expected a number, as the solver has no weight_decay either")
    return options.positive("lambda", text, "or auto")


def _print(result: dict[str, Any]) -> None:
    rows = [
        (
            row["layer"],
            f"{row['rows']} x {row['columns']}",
            row["kind"],
            row["count"],
            f"{row['ydimen']} x {row['xdimen']}",
            row["meaning"],
        )
        for row in result["groups"]
    ]
    if rows:
        print_table(["layer", "weights", "group", "groups", "of size", "a group is"], rows)
    found = result["balance"]
    how = (
        f": the loss, {found['loss']:.4g}, over the norms of all groups, {found['term']:.4g}"
        if found
        else ""
    )
    click.echo(f"\nlambda (block_group_decay) {result['lambda']:g}{how}")
    _, ssl_solver, _, finetune_solver = result["written"]
    click.echo("wrote " + "\n      ".join(result["written"]))
    click.echo(f"then: sscaffe train -solver {ssl_solver}")
    click.echo(f"      sscaffe train -solver {finetune_solver}")
