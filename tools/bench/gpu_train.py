"""Training steps on the GPU: sscaffe against PyTorch, eager and as a CUDA graph; no TF32."""

import importlib.util

from bench.gpu import Budget, going_on, take_turns, tell
from bench.inputs import image_batch, label_batch
from bench.nets import NETS
from bench.prototxt import SOLVER, net_text
from sscaffe import prototxt
from sscaffe.solver import Solver

BATCHES = {"lenet": 64, "cifar_full": 100, "resnet20": 128, "caffenet": 256}
PEERS = ["torch", "torch nhwc", "torch graph", "torch nhwc graph"]


def solver_of(net, batch, device):
    """Return a solver whose data are on the device already."""
    param = prototxt.parse_solver(SOLVER.replace("solver_mode: CPU ", ""))
    param.base_lr = 1e-5  # thousands of steps on one batch must not diverge
    text = net_text(net, NETS[net](), batch, train=True)
    param.net_param.CopyFrom(prototxt.parse_net(text))
    solver = Solver(param, device=device)
    spec = {"net": net, "batch": batch}
    solver.net.blobs["data"].set_data(image_batch(spec))
    solver.net.blobs["label"].set_data(label_batch(spec))
    return solver


def ours(net, batch, place):
    """Return a function that does so many steps and waits."""
    solver = solver_of(net, batch, place.device)

    def run(steps):
        solver.step(steps)
        place.synchronize()

    run(8)  # plans are chosen, graphs captured
    return run


def peer(name, net, batch, place):
    """Return the same of PyTorch."""
    import torch
    from torch.nn import functional

    from bench.torch_peer import TorchNet

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    device = "cuda" if place.is_gpu else "cpu"
    layout = torch.channels_last if "nhwc" in name else torch.contiguous_format
    torch.manual_seed(1)
    model = TorchNet(NETS[net]()).train().to(device, memory_format=layout)
    spec = {"net": net, "batch": batch}
    images = torch.from_numpy(image_batch(spec)).to(device, memory_format=layout)
    labels = torch.from_numpy(label_batch(spec)).to(device)
    rule = torch.optim.SGD(model.parameters(), 0.001, 0.9, weight_decay=0.0005, fused=True)

    def step():
        rule.zero_grad(set_to_none=True)
        functional.cross_entropy(model(images), labels).backward()
        rule.step()

    one = captured(torch, step) if "graph" in name else step

    # A graph knows the memory of these, and does not keep it.
    def run(steps, kept=(model, rule, images, labels)):
        for _ in range(steps):
            one()
        if place.is_gpu:
            torch.cuda.synchronize()

    run(5)
    return run


def captured(torch, step):
    """Return a function that replays the step as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def free(place):
    """Give back the memory of the net before."""
    import gc

    gc.collect()
    if place.is_gpu and importlib.util.find_spec("torch"):
        import torch

        torch.cuda.empty_cache()


def measure(place, budget, args):
    """Measure and print; return the figures."""
    peers = PEERS if importlib.util.find_spec("torch") else []
    if not place.is_gpu:
        peers = [name for name in peers if "graph" not in name]
    results, nets = {}, [net for net in BATCHES if net in args.nets]
    tell("\ntrain, ms a step" + ("" if peers else "; PyTorch is not installed"))
    for i, net in enumerate(nets):
        batch, runs = args.train_batch or BATCHES[net], {}
        with going_on(f"{net}: sscaffe"):
            runs["sscaffe"] = ours(net, batch, place)
        for name in peers:
            with going_on(f"{net}: {name}"):
                runs[name] = peer(name, net, batch, place)
        share = Budget(max(0.5, budget.left / (len(nets) - i)))
        times = take_turns(runs, share)
        results[net] = {"batch": batch, "ms": times}
        mine = times.get("sscaffe", float("nan"))
        cells = (f"{name} {t:.3f} ({t / mine:.2f})" for name, t in times.items())
        tell(f"{net:<12} b{batch:<4} " + "   ".join(cells))
        del runs
        free(place)
    return results
