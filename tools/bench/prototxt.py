"""The nets as prototxts, which sscaffe and BVLC Caffe read alike."""

SOLVER = (
    'base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 random_seed: 1 '
    "solver_mode: CPU max_iter: 1000000 snapshot_after_train: false "
)


def _message(fields):
    """Return the fields of a message as text; of strings, only names and types are quoted."""
    words = []
    for key, value in fields.items():
        if isinstance(value, dict):
            words.append(f"{key} {{ {_message(value)} }}")
        elif isinstance(value, bool):
            words.append(f"{key}: {str(value).lower()}")
        else:
            words.append(f'{key}: "{value}"' if key == "type" else f"{key}: {value}")
    return " ".join(words)


def _layer(kind, name, bottoms, tops, body=""):
    blobs = "".join(f' bottom: "{b}"' for b in bottoms) + "".join(f' top: "{t}"' for t in tops)
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {body}}}\n'


def _input(name, shape):
    dims = " ".join(f"dim: {n}" for n in shape)
    return _layer("Input", name, [], [name], f"input_param {{ shape {{ {dims} }} }} ")


def net_text(name, net, batch, train=False, conv_mode=None):
    """Return the text of a net.

    It starts with the Input "data" and ends with the Softmax "prob"; if `train`, there is a
    "label" too, and the end is the SoftmaxWithLoss "loss".
    """
    text = f'name: "{name}"\n' + _input("data", (batch, *net.shapes["data"]))
    text += _input("label", (batch,)) if train else ""
    for layer in net.list:
        params = {key: dict(fields) for key, fields in layer.params.items()}
        if conv_mode and "convolution_param" in params:
            params["convolution_param"]["conv_mode"] = conv_mode
        text += _layer(layer.type, layer.name, layer.bottoms, [layer.top], _message(params))
    if train:
        return text + _layer("SoftmaxWithLoss", "loss", [net.last, "label"], ["loss"])
    return text + _layer("Softmax", "prob", [net.last], ["prob"])
