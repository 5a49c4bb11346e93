"""What a solver writes to snapshots, and how it goes on from one."""

import os
from collections.abc import Sequence
from pathlib import Path

from sscaffe.blob import Array, Blob
from sscaffe.glog import logger
from sscaffe.parallel.team import Team
from sscaffe.proto import caffe_pb2
from sscaffe.random_numbers import RandomNumbers
from sscaffe.solver import architecture, display, room, snapshot
from sscaffe.solver.connectivity import Connectivity
from sscaffe.solver.cursors import (
    Places,
    random_states,
    restore_cursors,
    restore_random_states,
    save_cursors,
    save_random_states,
)
from sscaffe.solver.divergence import require_finite_weights
from sscaffe.solver.scripting import Scripting
from sscaffe.solver.smoothed_loss import SmoothedLoss

PathLike = str | os.PathLike[str]
_Drawn = tuple[bytes, dict[str, tuple[int, int]]]  # places in the solver's stream and in layers'


class Saving(Scripting):
    """The part of `Solver` that writes and reads files; `Solver` has the rest."""

    snapshot_path: str
    rng: RandomNumbers
    team: Team
    _root: str
    _source: str
    _connectivity: Connectivity
    _losses: SmoothedLoss
    _speed: display.Speed
    _snapshot_iter: int

    @property
    def history(self) -> Sequence[Blob]:
        """See `Solver`."""
        raise NotImplementedError

    def require_room(self) -> None:
        """Check that a snapshot could be written now.

        Raises
        ------
        FullError
            If there is too little room where snapshots go.
        SscaffeError
            If their folder does not exist.
        """
        model, _ = self._names()
        room.require_room(Path(self._root, model).parent, self._sizes())

    def _sizes(self) -> tuple[int, int]:
        """Return about how many bytes a caffemodel and a solverstate have."""
        return room.sizes(self.net, self.history, diff=self.param.snapshot_diff)

    def _names(self) -> tuple[str, str]:
        """Return what the files of a snapshot are called now."""
        ending = ".h5" if self.param.snapshot_format == caffe_pb2.SolverParameter.HDF5 else ""
        prefix = snapshot.prefix(self.param, self._root, self._source, self.net.name)
        stem = f"{prefix}_iter_{self.iter}"
        return f"{stem}.caffemodel{ending}", f"{stem}.solverstate{ending}"

    def snapshot(self) -> str:
        """Write the weights and the state of training to files; of several ranks, rank 0 does.

        Returns
        -------
        str
            The path of the .solverstate, to be given to `restore`.

        Raises
        ------
        DivergedError
            If a weight is not finite; then nothing is written.
        FullError
            If there is no room for it; older snapshots are left as they are.
        SscaffeError
            If a file cannot be written for another reason; so they are then.
        """
        require_finite_weights(self.net, self.param, self.iter)
        self._connectivity.refresh()
        model, state = self._names()
        own = self.rng.get_state(), random_states(self.net)
        of_ranks = self.team.gather(own)
        with self.team.alone(patiently=True) as works:
            if works:
                self._save(model, state, of_ranks)
        self.snapshot_path, self._snapshot_iter = state, self.iter
        return state

    def _save(self, model: str, state: str, of_ranks: Sequence[_Drawn]) -> None:
        self.require_room()
        try:
            self._write(model, state, of_ranks)
        except MemoryError as error:
            sizes = "{} and {} bytes".format(*self._sizes())
            error.add_note(f"  snapshot: {state} and its caffemodel, up to {sizes}")
            raise
        logger.info("Snapshot complete: %s", state)

    def _write(self, model: str, state: str, of_ranks: Sequence[_Drawn]) -> None:
        words = "HDF5" if model.endswith(".h5") else "binary proto"
        logger.info("Snapshotting to %s file %s", words, model)
        path = Path(self._root, model)
        self.net.save(path, diff=self.param.snapshot_diff)
        proto = self._state(of_ranks)
        snapshot.describe_model(proto, path, model)
        logger.info("Snapshotting solver state to %s file %s", words, state)
        snapshot.write_state(Path(self._root, state), proto, self.history)

    def restore(self, path: PathLike) -> None:
        """Go on from a snapshot, bit for bit as if training had never stopped.

        Parameters
        ----------
        path : path-like
            A .solverstate, binary or HDF5; what one of Caffe lacks starts anew.

        Raises
        ------
        SscaffeError
            If it, or the caffemodel that it names, cannot be read, or does not fit, or the data
            has no such place; then nothing was changed.
        """
        path = Path(self._root, path)
        model, state = path, snapshot.State(caffe_pb2.SolverState(), [])
        if self.team.is_first:
            state = snapshot.read_state(path)
            architecture.check(state.proto, self.net, path)
            snapshot.check_state(state, self.history, self.param.type, path)
            model = snapshot.find_model(state, path, self._root)
        proto = caffe_pb2.SolverState.FromString(
            self.team.world.broadcast(state.proto.SerializeToString())
        )
        masks = snapshot.read_masks(proto, self.net.learnable_params)
        logger.info("Restoring from %s and %s", path, model)
        places = Places((self.net, *self.test_nets), self.rng)
        try:
            restore_cursors(proto, self.net, self.test_nets)
            if self.team.is_first:
                self.net.copy_from(model)
        except BaseException:
            places.go_back()
            raise
        for blob, array in zip(self.history, state.history, strict=self.team.is_first):
            blob.set_data(blob.xp.asarray(array).reshape(blob.shape))
        self.team.share_weights(self.net)
        self.team.share_history(self.history)
        self._set_state(proto, masks)

    def _state(self, of_ranks: Sequence[_Drawn]) -> caffe_pb2.SolverState:
        states = [state for state, _ in of_ranks]
        proto = caffe_pb2.SolverState(
            iter=self.iter,
            current_step=self._step,
            random_state=states[0],
            rank_random_state=states[1:],
            smoothed_losses=self._losses.losses,
            solver_type=self.param.type,
        )
        architecture.save(proto, self.net)
        snapshot.save_masks(proto, self.net.learnable_params)
        save_cursors(proto, self.net, self.test_nets)
        save_random_states(proto, [layers for _, layers in of_ranks])
        return proto

    def _set_state(self, proto: caffe_pb2.SolverState, masks: dict[str, Array]) -> None:
        self.iter, self._step = proto.iter, proto.current_step
        self._snapshot_iter = self.iter
        self._speed.forget()
        self._losses.restore(proto.smoothed_losses)
        if proto.random_state:
            states = proto.random_state, *proto.rank_random_state
            self.team.set_random_state(self.rng, states)
        restore_random_states(proto, self.net, self.team.world.rank)
        if masks:
            for param in self.net.learnable_params:
                param.mask = masks.get(param.name)
            self._connectivity.take()
