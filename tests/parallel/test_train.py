"""Training by several ranks: what one process with all of their records would do."""

import numpy as np
import pytest

from tests.parallel import jobs

pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'sscaffe[mpi]'")
pytestmark = jobs.needs_mpi


def weights_only(found):
    return {name: array for name, array in found.items() if name != "loss"}


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_do_what_one_process_with_all_their_records_does(tmp_path, count):
    together = jobs.drive(count, jobs.prepare_net(tmp_path / "ranks", batch=5))
    [alone] = jobs.drive(1, jobs.prepare_net(tmp_path / "alone", batch=5 * count))
    for rank in together[1:]:
        jobs.assert_same_bits(together[0], rank)
    for name, array in alone.items():
        np.testing.assert_allclose(together[0][name], array, rtol=1e-5, atol=1e-6, err_msg=name)
