"""Which tests of ``make test`` one process runs, so that it makes their fixtures once."""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling

TOGETHER = {
    "test_kill": "cluster",
    "test_stateful_job": "cluster",
    "test_finetune": "learned_parent",
    "test_finetune_run": "learned_parent",
}
"""Files with a fixture of a session that takes many seconds: a dask cluster, or a network that has learnt."""

SIDE_BY_SIDE = ("test_notebooks",)
"""Files whose tests share no fixture, and take long."""


class FilesScheduling(LoadFileScheduling):
    """Send the tests of a file, or of a group of files, to one process.

    The marks of pytest-xdist 3.8 for groups have no effect with pytest 9.2 (pytest-xdist's issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        name = PurePosixPath(file).stem
        return nodeid if name in SIDE_BY_SIDE else TOGETHER.get(name, file)
