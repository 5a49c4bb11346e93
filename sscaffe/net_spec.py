"""Nets written in Python: ``L.Convolution(n.data, num_output=20, kernel_size=5)``.

`layers` (``L``) makes layers of any type, `params` (``P``) has the values of Caffe's enumerations,
and a `NetSpec` gives the blobs names::

    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 28, 28]))
    n.ip = L.InnerProduct(n.data, num_output=10)
    n.prob = L.Softmax(n.ip)
    prototxt = str(n.to_proto())

A keyword argument is a field of the layer's own message (``convolution_param``) where that has one
of the name, else of LayerParameter. Messages are dicts, repeated fields lists.
"""

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
from google.protobuf.message import Message

from sscaffe.errors import PrototxtError
from sscaffe.proto import caffe_pb2
from sscaffe.prototxt_names import nearest

_SUFFIX = "_param"


class UnknownFieldError(PrototxtError, AttributeError):
    """A field, enumeration or blob that there is not."""


def param_name_dict() -> dict[str, str]:
    """Return which field of LayerParameter holds the parameters of a layer type.

    Returns
    -------
    dict of str to str
        Such as ``{"InnerProduct": "inner_product", ...}``, without the ``_param`` of the field.
    """
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    return {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix(_SUFFIX)
        for field in fields
        if field.name.endswith(_SUFFIX) and field.message_type is not None
    }


_param_names = param_name_dict() | dict.fromkeys(
    # Types whose parameters are those of another one; pycaffe wants `convolution_param` for them.
    ("Deconvolution", "DepthwiseConvolution", "Im2col"),
    "convolution",
)


def to_proto(*tops: "Top") -> caffe_pb2.NetParameter:
    """Return the net that makes these tops, with names such as ``Convolution1``.

    Raises
    ------
    UnknownFieldError
        If a layer was given a field that its type does not have.
    """
    layers: dict[Function, caffe_pb2.LayerParameter] = {}
    autonames: Counter[str] = Counter()
    for top in tops:
        top.fn._to_proto(layers, {}, autonames)
    return caffe_pb2.NetParameter(layer=layers.values())


def assign_proto(proto: Message, name: str, val: Any) -> None:
    """Set a field of a message from plain Python.

    Parameters
    ----------
    proto : Message
        The message; other fields stay as they are.
    name : str
        The field.
    val : object
        A number, bool, string, or the name or number of an enumeration's value; a dict, for a
        message; for a repeated field a list, tuple or array of them, or a single one. What it holds
        is added to what a repeated field has.

    Raises
    ------
    UnknownFieldError
        If the message has no such field.
    TypeError
        If the value is of another type than the field.
    """
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise UnknownFieldError(_no_field(name, proto))
    val = val.tolist() if isinstance(val, np.ndarray | np.generic) else val
    try:
        if isinstance(getattr(proto, name), Message):
            _fill(getattr(proto, name), val)
        elif not hasattr(getattr(proto, name), "extend"):
            setattr(proto, name, val)
        elif field.message_type is None:
            items = val if isinstance(val, list | tuple) else [val]
            getattr(proto, name).extend(_plain(item) for item in items)
        else:
            for item in val if isinstance(val, list | tuple) else [val]:
                _fill(getattr(proto, name).add(), item)
    except (TypeError, ValueError) as error:
        error.add_note(f"  field: {name} of {proto.DESCRIPTOR.name}")
        raise


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _fill(message: Message, value: Any) -> None:
    if isinstance(value, Message):
        message.MergeFrom(value)
    elif isinstance(value, Mapping):
        for name, val in value.items():
            assign_proto(message, name, val)
    else:
        raise TypeError(f"expected a dict of the fields of {message.DESCRIPTOR.name}, got {value}")


def _no_field(name: str, *protos: Message) -> str:
    words = " nor ".join(proto.DESCRIPTOR.name for proto in protos)
    near = nearest(name, [field for proto in protos for field in proto.DESCRIPTOR.fields_by_name])
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{name}: {'neither ' * (len(protos) > 1)}{words} has a field {name!r}{hint}"


class Top:
    """A blob that a layer makes, to be the bottom of others.

    Parameters
    ----------
    fn : Function
        The layer.
    n : int
        Which of its tops, from 0.
    """

    def __init__(self, fn: "Function", n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """Return the net that makes this blob, with names such as ``Convolution1``.

        Raises
        ------
        UnknownFieldError
            If a layer was given a field that its type does not have.
        """
        return to_proto(self)

    def __repr__(self) -> str:
        return f"<Top {self.n} of {self.fn.type_name}>"


class Function:
    """A layer that is not in a net yet.

    Parameters
    ----------
    type_name : str
        The layer's type.
    inputs : sequence of Top
        Its bottoms.
    params : dict
        Its fields; `ntop`, the number of tops (1 by default), and `in_place`, whether the tops are
        the bottoms, are taken out.

    Raises
    ------
    TypeError
        If an input is no Top, but a tuple of them, for one.
    """

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _to_proto(
        self,
        layers: MutableMapping["Function", caffe_pb2.LayerParameter],
        names: MutableMapping[Any, str],
        autonames: Counter[str],
    ) -> None:
        """Add this layer to `layers`, after those that make its bottoms.

        There is no recursion, so that nets may be deeper than Python's stack.
        """
        waiting = [self]
        while waiting:
            fn = waiting[-1]
            before = next((top.fn for top in fn.inputs if top.fn not in layers), None)
            if before is not None:
                waiting.append(before)
                continue
            waiting.pop()
            if fn not in layers:
                layers[fn] = fn._layer(layers, names, autonames)

    def _layer(
        self,
        layers: Mapping["Function", caffe_pb2.LayerParameter],
        names: MutableMapping[Any, str],
        autonames: Counter[str],
    ) -> caffe_pb2.LayerParameter:
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        layer.bottom.extend(layers[top.fn].top[top.n] for top in self.inputs)
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._name_of(top, names, autonames) for top in self.tops)
        layer.name = self._name_of(self.tops[0] if self.tops else self, names, autonames)
        for name, value in self.params.items():
            self._assign(layer, name, value)
        return layer

    def _name_of(self, what: Any, names: MutableMapping[Any, str], autonames: Counter[str]) -> str:
        if what not in names:
            autonames[self.type_name] += 1
            names[what] = f"{self.type_name}{autonames[self.type_name]}"
        return names[what]

    def _assign(self, layer: caffe_pb2.LayerParameter, name: str, value: Any) -> None:
        own = _param_names.get(self.type_name)
        param = None if own is None else getattr(layer, own + _SUFFIX)
        if name in layer.DESCRIPTOR.fields_by_name and (
            name.endswith("param") or param is None or name not in param.DESCRIPTOR.fields_by_name
        ):
            assign_proto(layer, name, value)
        elif param is not None and name in param.DESCRIPTOR.fields_by_name:
            assign_proto(param, name, value)
        else:
            protos = [layer] if param is None else [param, layer]
            raise UnknownFieldError(f"{self.type_name}: {_no_field(name, *protos)}")


class NetSpec:
    """Names for blobs: ``n.conv1 = L.Convolution(...)``, or ``n["conv1"] = ...``.

    A layer has the name of its first top. `to_proto` writes the layers in the order in which the
    names were given.
    """

    tops: dict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "tops":
            raise AttributeError(name)
        if name not in self.tops:
            near = nearest(name, self.tops)
            hint = f"; did you mean {near!r}?" if near else ""
            raise UnknownFieldError(f"{name}: the net has no blob of this name{hint}")
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def __delitem__(self, key: str) -> None:
        del self.tops[key]

    def __contains__(self, key: str) -> bool:
        return key in self.tops

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tops]

    def to_proto(self) -> caffe_pb2.NetParameter:
        """Return the net.

        Raises
        ------
        UnknownFieldError
            If a layer was given a field that its type does not have.
        TypeError
            If a name stands for something else than a blob.
        """
        names = {what: name for name, what in self.tops.items()}
        autonames: Counter[str] = Counter()
        layers: dict[Function, caffe_pb2.LayerParameter] = {}
        for name, what in self.tops.items():
            if not isinstance(what, Top | Function):
                raise TypeError(
                    f"{name}: expected a Top, got a {type(what).__name__}; "
                    "a layer with several tops needs as many names"
                )
            function = what.fn if isinstance(what, Top) else what
            function._to_proto(layers, names, autonames)
        return caffe_pb2.NetParameter(layer=layers.values())


class Layers:
    """``L``: every attribute makes a layer of that type."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*args: Any, **kwargs: Any) -> Any:
            """Return the layer's top; a tuple if there are several, the layer if there is none."""
            fn = Function(name, args, kwargs)
            if fn.ntop == 0:
                return fn
            return fn.tops[0] if fn.ntop == 1 else fn.tops

        layer_fn.__name__ = layer_fn.__qualname__ = name
        return layer_fn


class Parameters:
    """``P``: ``P.Pooling.MAX`` is that value of PoolingParameter's enumerations."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(caffe_pb2, f"{name}Parameter", None)
        if found is None:
            messages = caffe_pb2.DESCRIPTOR.message_types_by_name
            near = nearest(name, [m.removesuffix("Parameter") for m in messages])
            hint = f"; did you mean {near!r}?" if near else ""
            raise UnknownFieldError(f"params: there is no {name}Parameter{hint}")
        return found


layers = Layers()
params = Parameters()
