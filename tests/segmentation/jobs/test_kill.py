"""kill -9 at any time: the next run resumes, the result is the same, done cells are not computed again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import LocalCluster
from helpers_segmentation import CELLS, SCENE, chunk_times, die, done_chunks, pixels

from fctl_napari.exceptions import FctlError
from fctl_napari.segmentation.jobs import driver
from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = pytest.mark.slow

PARENT = """
import sys
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest

if __name__ == "__main__":
    image, out, checkpoint, merge = sys.argv[1:]
    request = SegmentationRequest(image, out, checkpoint, merge=merge, device="cpu", precision="fp32")
    engine = Engine(threads=1)
    run = engine.start(request, lambda event: print(event.done, flush=True))
    run.look((0, 0, 1000, 1000))
    run.wait()
"""


def workers(parent: psutil.Process | None = None) -> list[psutil.Process]:
    children = (parent or psutil.Process()).children(recursive=True)
    return [child for child in children if "worker_process" in " ".join(child.cmdline())]


def worker_of(engine: Engine) -> psutil.Process:
    """Its own: engines of other tests may have theirs."""
    address = engine._workers.client().scheduler.address
    (worker,) = (found for found in workers() if address in " ".join(found.cmdline()))
    return worker


def finished_chunks(out: Path) -> dict[str, int]:
    """When the chunks of cells that are done were written, ns, by name."""
    store = Segmentation.open(out)
    done = done_chunks(store)
    return {name: when for name, when in chunk_times(store).items() if name in done}


@pytest.mark.parametrize("merge", [pytest.param("crop", marks=pytest.mark.nightly), "average"])
def test_a_killed_worker_costs_only_what_it_had_not_finished(
    engine: Engine,
    scene: Path,
    lively: Path,
    merge: str,
    reference: Callable[[str], np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By day with the merge that keeps tiles on disk too; the next test has the other one."""
    monkeypatch.setattr(driver, "TASK_SECONDS", 0.3)  # so that the scene is several tasks
    out = tmp_path / "out.ome.zarr"
    request = SegmentationRequest(str(scene), str(out), str(lively), merge=merge, device="cpu", precision="fp32")
    before: dict[str, int] = {}

    def kill_once(event: RunProgress) -> None:
        if event.done > 5 and not before:
            before.update(finished_chunks(out))
            worker_of(engine).send_signal(signal.SIGKILL)

    run = engine.start(request, kill_once)
    run.look((0, 0, *SCENE))  # news come sooner where somebody looks on
    final = run.wait(250)
    assert (final.state, final.error, final.done) == ("done", None, CELLS)
    assert 10 < len(before) < 2 * CELLS, "the worker was not killed in the middle"
    store = Segmentation.open(out)
    assert before.items() <= chunk_times(store).items(), "done cells were computed again"
    np.testing.assert_array_equal(pixels(store), reference(merge))


def test_of_two_workers_of_a_cluster_one_killed_costs_only_its_own_tiles(
    cluster: LocalCluster,
    scene: Path,
    lively: Path,
    reference: Callable[[str], np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "TASK_SECONDS", 0.3)
    out = tmp_path / "out.ome.zarr"
    request = SegmentationRequest(str(scene), str(out), str(lively), device="cpu", precision="fp32")
    before: dict[str, int] = {}
    pids = {nanny.pid for nanny in cluster.workers.values()}

    def kill_one(event: RunProgress) -> None:
        if event.done > 5 and not before:
            before.update(finished_chunks(out))
            psutil.Process(min(pids)).send_signal(signal.SIGKILL)

    with Engine(cluster.scheduler_address, threads=1) as engine:
        run = engine.start(request, kill_one)
        run.look((0, 0, *SCENE))
        final = run.wait(250)
    assert (final.state, final.error, final.done) == ("done", None, CELLS)
    assert 10 < len(before) < 2 * CELLS, "the worker was not killed in the middle"
    store = Segmentation.open(out)
    assert before.items() <= chunk_times(store).items(), "done cells were computed again"
    np.testing.assert_array_equal(pixels(store), reference("crop"))


def kill_parent_in_the_middle(folder: Path, scene: Path, checkpoint: Path, merge: str) -> Path:
    """Segment in a process of its own, kill it, and wait until its workers are gone."""
    script, out = folder / "parent.py", folder / "out.ome.zarr"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(scene), str(out), str(checkpoint), merge], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    for line in parent.stdout:
        if int(line) > 5:
            break
    orphans = workers(psutil.Process(parent.pid))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert orphans
    _, alive = psutil.wait_procs(orphans, timeout=20)
    assert not alive, "a worker outlived its parent"
    return out


@pytest.mark.parametrize("merge", [pytest.param("crop", marks=pytest.mark.nightly), "average"])
def test_after_a_killed_parent_the_next_run_resumes(
    engine: Engine, scene: Path, lively: Path, merge: str, reference: Callable[[str], np.ndarray], tmp_path: Path
) -> None:
    """By day with the merge that keeps tiles on disk too."""
    out = kill_parent_in_the_middle(tmp_path, scene, lively, merge)
    before, store = finished_chunks(out), Segmentation.open(out)
    assert 10 < len(before) < 2 * CELLS, "the parent was not killed in the middle"
    kept_logits = {file.name: file.stat().st_mtime_ns for file in store.scratch.glob("*.npy")}
    assert bool(kept_logits) == (merge == "average")
    rewritten: set[str] = set()

    def watch(event: RunProgress) -> None:
        for name, when in kept_logits.items():
            file = store.scratch / name
            if file.exists() and file.stat().st_mtime_ns != when:
                rewritten.add(name)

    request = SegmentationRequest(str(scene), str(out), str(lively), merge=merge, device="cpu", precision="fp32")
    final = engine.start(request, watch).wait(250)
    assert (final.state, final.error, final.done) == ("done", None, CELLS)
    assert before.items() <= chunk_times(store).items(), "done cells were computed again"
    assert not rewritten, "tiles that waited on disk were computed again"
    np.testing.assert_array_equal(pixels(store), reference(merge))
    assert not store.scratch.exists()


def test_a_worker_that_dies_every_time_fails_the_run(
    engine: Engine, scene: Path, lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = SegmentationRequest(str(scene), str(tmp_path / "out.ome.zarr"), str(lively), device="cpu")
    with monkeypatch.context() as patched:
        patched.setattr("fctl_napari.segmentation.jobs.driver.compute", die)
        final = engine.start(request).wait(250)
    assert final.state == "failed"
    with pytest.raises(FctlError, match=r"died 3 times .*; what is finished is kept"):
        raise final.error
    after = engine.start(replace(request, region=(0, 0, 10, 10))).wait(250)
    assert (after.state, after.error) == ("done", None)


def test_half_a_store_is_replaced(engine: Engine, scene: Path, lively: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    request = SegmentationRequest(
        str(scene), str(out), str(lively), device="cpu", precision="fp32", region=(0, 0, 60, 60)
    )
    assert engine.start(request).wait(250).state == "done"
    store = Segmentation.open(out, mode="r+")
    facts = {name: value for name, value in store.facts.items() if name != "complete"}
    store.labels.group.update_attributes({"fctl": facts})  # as if killed while it was created
    final = engine.start(replace(request, region=(0, 0, 10, 10))).wait(250)
    assert (final.state, final.error) == ("done", None)
    assert Segmentation.open(out).done().sum() == 1
