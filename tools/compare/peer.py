"""The jobs of BVLC Caffe: python -m compare.peer JOBS, with a list of them in JSON.

Its errors end the process; whoever started it goes on with the next job in another one.
"""

import json
import os
import sys
from pathlib import Path

os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112 - glog spells it so

import caffe

from compare import jobs


def do(job):
    """Do one job."""
    if job["task"] == "train":
        solver = caffe.get_solver(job["solver"])
        if "weights" in job:
            solver.net.copy_from(job["weights"])
        if "restore" in job:
            solver.restore(job["restore"])
        jobs.train(solver, job)
        if "snapshot" in job:
            solver.snapshot()
        return
    net = caffe.Net(job["prototxt"], caffe.TRAIN if job["phase"] == "TRAIN" else caffe.TEST)
    if job["weights"].endswith(".h5"):
        net.load_hdf5(job["weights"])
    else:
        net.copy_from(job["weights"])
    if "save" in job:
        net.save(f"{job['save']}.caffemodel")
        net.save_hdf5(f"{job['save']}.h5")
    jobs.run(net, job)


caffe.set_mode_cpu()
for one in json.loads(Path(sys.argv[1]).read_text()):
    do(one)
