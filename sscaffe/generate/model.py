"""What a generated net is made of, and how its files are made from that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_format

from sscaffe.generate.layers import Layers
from sscaffe.group_specs import Factors, add_groups, freeze
from sscaffe.proto import caffe_pb2


@dataclass(frozen=True)
class Data:
    """Where images come from, and what is done to them.

    Attributes
    ----------
    train, test : str
        The databases.
    side : int
        Height and width of the images that the net sees: a part of those in the database, if
        `crop`; a random part and a random mirror image in training.
    train_mean, test_mean : str
        Files of the mean image; none if `mean_values` are given.
    """

    train: str
    test: str
    side: int
    train_batch: int
    test_batch: int
    train_mean: str = ""
    test_mean: str = ""
    mean_values: tuple[float, ...] = ()
    crop: tuple[bool, bool] = (True, True)


@dataclass(frozen=True)
class Model:
    """A net, its data and its recipes.

    Attributes
    ----------
    name : str
        Prefix of the files' names.
    title : str
        Of the net, for people.
    body : callable
        Adds the layers between data and losses, and in training the losses too; called with
        whether it is for training; returns the layers and the blob with a score for each class.
    groups : mapping of layer to Factors
        What group lasso pushes to zero.
    connectivity : str
        The connectivity_mode of fine-tuning, for the layers of `frozen`.
    solvers : mapping of "", "ssl" and "finetune" to fields of a solver
        The recipes.
    """

    name: str
    title: str
    body: Callable[[bool], tuple[Layers, str]]
    data: Data
    solvers: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Factors] = field(default_factory=dict)
    connectivity: str = "DISCONNECTED_GRPWISE"
    frozen: tuple[str, ...] = ()


def files_of(model: Model, folder: str) -> dict[str, str]:
    """Return the files of a model: their names, and the text of each.

    Parameters
    ----------
    model : Model
        The model.
    folder : str
        Where they will be, for the paths in solvers.

    Returns
    -------
    dict
        A net, a solver and a net for use; with `groups`, nets and solvers of SSL and fine-tuning.
    """
    files = {f"{model.name}_deploy.prototxt": _net_text(_deploy(model), f"{model.title}, for use.")}
    stages = {
        "": (_training(model), "from scratch, the baseline"),
        "ssl": (_with_groups(model), "with structured sparsity learning"),
        "finetune": (_with_connectivity(model), "fine-tuned after SSL"),
    }
    for stage, solver in model.solvers.items():
        net, how = stages[stage]
        prefix = "_".join(filter(None, (model.name, stage)))
        files[f"{prefix}_train_val.prototxt"] = _net_text(net, f"{model.title}, {how}.")
        files[f"{prefix}_solver.prototxt"] = _solver_text(
            {"net": f"{folder}/{prefix}_train_val.prototxt", **solver},
            prefix=f"{folder}/{prefix}",
            title=f"{model.title}, {how}.",
        )
    return files


def _training(model: Model) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter(name=model.title)
    for phase in (caffe_pb2.TRAIN, caffe_pb2.TEST):
        _add_data(net, model.data, phase)
    layers, _ = model.body(True)
    net.layer.extend(layers.net.layer)
    return net


def _deploy(model: Model) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter(name=model.title)
    source = net.layer.add(name="data", type="Input", top=["data"])
    source.input_param.shape.add(dim=[1, 3, model.data.side, model.data.side])
    layers, score = model.body(False)
    layers.add("Softmax", "prob", [score], "prob")
    net.layer.extend(layers.net.layer)
    return net


def _with_groups(model: Model) -> caffe_pb2.NetParameter:
    net = _training(model)
    add_groups(net, model.groups)
    return net


def _with_connectivity(model: Model) -> caffe_pb2.NetParameter:
    net = _training(model)
    freeze(net, model.frozen or model.groups, model.connectivity)
    return net


def _add_data(net: caffe_pb2.NetParameter, data: Data, phase: int) -> None:
    train = phase == caffe_pb2.TRAIN
    layer = net.layer.add(name="data", type="Data", top=["data", "label"])
    layer.include.add(phase=phase)
    transform = layer.transform_param
    if data.mean_values:
        transform.mean_value.extend(data.mean_values)
    else:
        transform.mean_file = data.train_mean if train else data.test_mean
    if data.crop[not train]:
        transform.crop_size = data.side
    if train:
        transform.mirror = True
    layer.data_param.source = data.train if train else data.test
    layer.data_param.batch_size = data.train_batch if train else data.test_batch
    layer.data_param.backend = caffe_pb2.DataParameter.LMDB


def _net_text(net: caffe_pb2.NetParameter, title: str) -> str:
    lines = [f"# {title}", f'name: "{net.name}"']
    for layer in net.layer:
        one_line = text_format.MessageToString(layer, as_one_line=True)
        lines.append(f"layer {{ {one_line} }}")
    return "\n".join(lines) + "\n"


def _solver_text(fields: Mapping[str, Any], prefix: str, title: str) -> str:
    solver = caffe_pb2.SolverParameter(
        **fields, snapshot_prefix=prefix, solver_mode=caffe_pb2.SolverParameter.CPU
    )
    return f"# {title}\n{text_format.MessageToString(solver)}"
