"""The engine with its real worker process: progress, cancel, resume, errors, the end."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from helpers_segmentation import CELLS, SCENE, chunk_times, done_chunks, pixels, save_lively_network
from PIL import Image

from fctl_napari import exceptions as errors
from fctl_napari.exceptions import CheckpointError, ConfigError, FctlError, InputError, OutputError
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.jobs.engine import Engine, Run, RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.store_lock import lock_store
from fctl_napari.segmentation.tiling import progress

pytestmark = pytest.mark.slow

ENOUGH = 250
"""How long a run may take at most, s."""


@pytest.fixture
def request_(scene: Path, lively: Path, tmp_path: Path) -> SegmentationRequest:
    return SegmentationRequest(str(scene), str(tmp_path / "out.ome.zarr"), str(lively), device="cpu", precision="fp32")


def run(engine: Engine, request: SegmentationRequest) -> RunProgress:
    return engine.start(request).wait(ENOUGH)


def test_progress_reports_what_is_new(
    engine: Engine, request_: SegmentationRequest, reference: Callable[[str], np.ndarray]
) -> None:
    heard: list[RunProgress] = []
    shown = np.zeros(SCENE, int)

    def hear(event: RunProgress) -> None:
        heard.append(event)
        if event.windows:
            store = Segmentation.open(request_.out)
            for y0, x0, y1, x1 in event.windows:
                shown[y0:y1, x0:x1] += 1
                assert store.labels.read((y0, x0, y1, x1)).all()

    final = engine.start(request_, hear).wait(ENOUGH)
    assert final == heard[-1]
    assert (final.state, final.error, final.done, final.total) == ("done", None, CELLS, CELLS)
    assert "CPU, 1 thread, fp32" in str(final.device)
    assert heard[0].state == "starting"
    assert {event.state for event in heard[1:-1]} == {"running"}
    assert [event.done for event in heard] == sorted(event.done for event in heard)
    assert (shown == 1).all(), "every pixel is told once"
    measured = [event for event in heard if event.windows]
    assert len(measured) > 1, "the first tile is told while others are computed"
    assert all(event.tiles_per_second > 0 and event.seconds_left >= 0 for event in measured)
    np.testing.assert_array_equal(pixels(Segmentation.open(request_.out)), reference("crop"))


def test_a_region_then_the_whole_computes_the_rest_only(
    engine: Engine, request_: SegmentationRequest, reference: Callable[[str], np.ndarray]
) -> None:
    region = (100, 120, 260, 300)
    first = run(engine, replace(request_, region=region))
    assert (first.state, first.done, first.total) == ("done", 20, 20)
    store = Segmentation.open(request_.out)
    written = chunk_times(store)
    assert set(written) == done_chunks(store)
    again = run(engine, replace(request_, region=region))
    assert (again.state, again.done) == ("done", 20)
    assert chunk_times(store) == written
    whole = run(engine, request_)
    assert (whole.state, whole.done, whole.total) == ("done", CELLS, CELLS)
    assert written.items() <= chunk_times(store).items()
    np.testing.assert_array_equal(pixels(store), reference("crop"))


@pytest.mark.parametrize("merge", ["crop", "average"])
def test_cancel_keeps_what_is_finished_and_the_next_run_resumes(
    engine: Engine,
    request_: SegmentationRequest,
    merge: str,
    reference: Callable[[str], np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "TASK_TILES", 4)  # the first news come long before the last task is handed out
    request = replace(request_, merge=merge)
    runs: list[Run] = []

    def hear(event: RunProgress) -> None:
        if event.windows:
            runs[0].cancel()  # on the run's own thread: it cannot finish in between

    runs.append(engine.start(request, hear))
    cancelled = runs[0].wait(ENOUGH)
    assert (cancelled.state, cancelled.error) == ("cancelled", None)
    store = Segmentation.open(request.out)
    assert 0 < cancelled.done == store.done().sum() < CELLS
    before = chunk_times(store)
    final = run(engine, request)
    assert (final.state, final.done) == ("done", CELLS)
    kept = chunk_times(store)
    done_before = {name: when for name, when in before.items() if kept[name] == when}
    assert len(done_before) >= 2 * cancelled.done, "done cells were computed again"
    np.testing.assert_array_equal(pixels(store), reference(merge))
    assert not store.scratch.exists()


def test_a_fresh_run_that_is_cancelled_before_its_first_tile_replaces_nothing(
    engine: Engine, request_: SegmentationRequest
) -> None:
    assert run(engine, request_).state == "done"
    before = pixels(Segmentation.open(request_.out))
    runs: list[Run] = []
    known = threading.Event()

    def hear(event: RunProgress) -> None:
        if event.state == "starting":
            known.wait(ENOUGH)
            runs[0].cancel()

    runs.append(engine.start(replace(request_, fresh=True), hear))
    known.set()
    assert runs[0].wait(ENOUGH).state == "cancelled"
    store = Segmentation.open(request_.out)
    assert store.done().all()
    np.testing.assert_array_equal(pixels(store), before)
    out = Path(request_.out)
    assert [path for path in out.parent.iterdir() if out.name in path.name and path.is_dir()] == [out]


def test_a_run_can_be_cancelled_before_it_begins(engine: Engine, request_: SegmentationRequest) -> None:
    current = engine.start(request_)
    current.cancel()
    assert current.wait(ENOUGH).state in ("cancelled", "done")


class Listener:
    """Hears a run, and waits for what it says."""

    def __init__(self) -> None:
        self.heard: list[RunProgress] = []
        self._events = threading.Condition()

    def __call__(self, event: RunProgress) -> None:
        with self._events:
            self.heard.append(event)
            self._events.notify_all()

    def wait_for(self, condition: Callable[[RunProgress], bool], since: int = 0) -> RunProgress:
        def found() -> RunProgress | None:
            return next((event for event in self.heard[since:] if condition(event)), None)

        with self._events:
            assert self._events.wait_for(found, ENOUGH), self.heard[-1:]
            event = found()
        assert event is not None
        return event


def all_seen(event: RunProgress) -> bool:
    return event.view is not None and event.view.done == event.view.total and event.view.waiting == 0


def test_a_live_run_computes_where_one_looks(
    engine: Engine, request_: SegmentationRequest, reference: Callable[[str], np.ndarray]
) -> None:
    hear = Listener()
    live = engine.start(replace(request_, live=True), hear)
    first, second = (0, 0, 150, 150), (300, 300, 430, 500)
    live.look(first)
    event = hear.wait_for(all_seen)
    assert event.view.total == 16
    assert event.memory_bytes > 1e6
    store = Segmentation.open(request_.out)
    assert pixels(store, first).all()
    assert not pixels(store, (200, 0, 440, 250)).any(), "only what is in view"
    written = chunk_times(store)
    heard = len(hear.heard)
    live.look((100, 100, 150, 150))
    hear.wait_for(all_seen, heard)
    assert chunk_times(store) == written, "what is done is not computed again"
    heard = len(hear.heard)
    live.look(second)
    hear.wait_for(all_seen, heard)
    live.look(None)
    live.cancel()
    assert live.wait(ENOUGH).state == "cancelled"
    store = Segmentation.open(request_.out)
    for y0, x0, y1, x1 in (first, second):
        np.testing.assert_array_equal(pixels(store, (y0, x0, y1, x1)), reference("crop")[:, y0:y1, x0:x1])
    final = run(engine, request_)  # the rest
    assert (final.state, final.done) == ("done", CELLS)
    np.testing.assert_array_equal(pixels(Segmentation.open(request_.out)), reference("crop"))


def test_looking_on_changes_what_comes_next(engine: Engine, request_: SegmentationRequest) -> None:
    hear = Listener()
    started = engine.start(request_, hear)
    corner = (400, 440, 440, 500)
    started.look(corner)
    assert started.wait(ENOUGH).state == "done"
    y0, x0 = next(event.windows for event in hear.heard if event.windows)[0][:2]
    assert y0 >= 300
    assert x0 >= 300


def test_live_goes_with_crop_and_no_region(engine: Engine, request_: SegmentationRequest) -> None:
    for settings in ({"merge": "average"}, {"region": (0, 0, 10, 10)}):
        final = run(engine, replace(request_, live=True, **settings))
        assert isinstance(final.error, ConfigError)
        assert "a live run computes what is in view" in str(final.error)


def test_other_settings_are_refused_unless_fresh(
    engine: Engine, request_: SegmentationRequest, lively_config: FCtLConfig, tmp_path: Path
) -> None:
    small = replace(request_, region=(0, 0, 60, 60))
    assert run(engine, small).state == "done"
    four = save_lively_network(tmp_path / "four.safetensors", lively_config.model_copy(update={"classes": 4}))
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.zeros((*SCENE, 3), np.uint8))
    for change, word in (
        ({"checkpoint": str(four)}, "with another checkpoint"),
        ({"merge": "average"}, "with another merge"),
        ({"overlap": 32}, "with another overlap"),
        ({"image": str(other)}, r"of another image \(scene\.png with other pixels\)"),
    ):
        final = run(engine, replace(small, **change))
        assert final.state == "failed"
        with pytest.raises(OutputError, match=rf"out\.ome\.zarr: holds a segmentation {word}; .*--fresh"):
            raise final.error
    final = run(engine, replace(small, checkpoint=str(four), fresh=True))
    assert (final.state, final.error) == ("done", None)
    assert len(Segmentation.open(request_.out).class_table) == 4


def test_an_image_that_is_changed_meanwhile_leaves_no_mixture(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path
) -> None:
    image = tmp_path / "ortho.png"
    picture = Image.open(request_.image)
    picture.save(image)
    request = replace(request_, image=str(image))

    def change(progress: RunProgress) -> None:
        if progress.done:
            picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "other.png")
            os.replace(tmp_path / "other.png", image)  # at once, as the worker may be reading it

    final = engine.start(request, change).wait()
    with pytest.raises(InputError, match=r"ortho\.png: was changed while it was segmented"):
        raise final.error
    picture.save(image)  # put back: nobody knows which tiles are of which
    final = run(engine, request)
    with pytest.raises(OutputError, match=r"another image .*--fresh"):
        raise final.error
    assert run(engine, replace(request, fresh=True)).state == "done"
    os.utime(image)  # touched, not changed
    assert run(engine, request).state == "done"


def test_errors_in_the_worker_reach_us_as_sentences(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path, make_rgb: Callable[..., np.ndarray]
) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(make_rgb(200, 1200)).save(large)
    damaged = convert(open_image(large), tmp_path / "damaged.ome.zarr", chunk=100)
    chunk = damaged / "0" / "c" / "0" / "1" / "9"
    chunk.write_bytes(chunk.read_bytes()[:40])
    final = run(engine, replace(request_, image=str(damaged), region=(60, 800, 200, 1000)))
    assert final.state == "failed"
    with pytest.raises(InputError, match=r"damaged\.ome\.zarr: is damaged at rows .* fetch it again"):
        raise final.error

    final = run(engine, replace(request_, device="cuda:77", fresh=True))
    with pytest.raises(ConfigError, match="not available here"):
        raise final.error


def test_bad_requests_fail_with_a_sentence_before_any_work(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, np.zeros((80, 80), np.uint16))
    for change, kind, message in (
        ({"image": str(tmp_path / "none.png")}, InputError, r"none\.png"),
        ({"image": str(deep)}, InputError, "--range"),
        ({"checkpoint": "mars"}, CheckpointError, "mars"),
        ({"out": str(tmp_path / "taken")}, OutputError, "taken: exists and is not a segmentation"),
        ({"out": str(tmp_path / "taken"), "fresh": True}, OutputError, "not a segmentation"),
        ({"region": (700, 0, 800, 10)}, InputError, "holds no pixel of the 440 x 500 px"),
        ({"overlap": 64}, ConfigError, "overlap"),
        ({"merge": "blend"}, ConfigError, "no merge 'blend'"),
    ):
        final = run(engine, replace(request_, **change))
        assert final.state == "failed"
        with pytest.raises(kind, match=message):
            raise final.error
    assert (tmp_path / "taken" / "file").read_text() == "mine"


def test_one_run_at_a_time_writes_a_store(
    engine: Engine, request_: SegmentationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fctl_napari.segmentation.store.store_lock.LOCK_TIMEOUT", 0.1)
    lock = lock_store(Path(request_.out))
    final = run(engine, request_)
    with pytest.raises(OutputError, match="in use by another run"):
        raise final.error
    lock.release()
    assert run(engine, replace(request_, region=(0, 0, 10, 10))).state == "done"


def test_a_scheduler_that_is_not_there(request_: SegmentationRequest) -> None:
    with Engine("127.0.0.1:1") as nowhere:
        final = run(nowhere, request_)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1: no dask scheduler answers"):
        raise final.error


@pytest.mark.parametrize("name", [name for name in dir(errors) if isinstance(getattr(errors, name), type)])
def test_errors_survive_pickling(name: str) -> None:
    kind = getattr(errors, name)
    copy = pickle.loads(pickle.dumps(kind("x.tif: is broken; mend it.")))
    assert type(copy) is kind
    assert str(copy) == "x.tif: is broken; mend it."
    assert issubclass(kind, FctlError)


def test_a_full_disk_is_reported_and_the_rest_is_kept(
    engine: Engine, request_: SegmentationRequest, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        request = replace(request_, out=str(disk / "out.ome.zarr"), merge="average")
        final = run(engine, request)
        assert final.state == "failed"
        with pytest.raises(OutputError, match=r"out\.ome\.zarr.*the disk is full; free some space and run again"):
            raise final.error
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run(engine, request).state == "done"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_close_ends_the_worker_and_its_runs(request_: SegmentationRequest) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    closing = Engine(threads=1)
    started = threading.Event()
    current = closing.start(request_, lambda event: started.set() if event.state == "running" else None)
    assert started.wait(ENOUGH)
    begun = time.monotonic()
    closing.close()
    closing.close()
    seconds = time.monotonic() - begun
    assert current.wait(0).state == "cancelled"
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert not [process for process in left if "resource_tracker" not in " ".join(process.cmdline())]
    assert seconds < 10, "closing hangs"
    final = closing.start(request_).wait(ENOUGH)
    assert final.state == "failed"
    assert "closed" in str(final.error)


def test_nothing_listens_beyond_this_machine(engine: Engine, request_: SegmentationRequest) -> None:
    run(engine, replace(request_, region=(0, 0, 10, 10)))
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [c for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_asking_for_a_run_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, fctl_napari.cli.app, fctl_napari.segmentation.jobs.engine\n"
        "print({'torch', 'scipy', 'skimage', 'matplotlib', 'distributed', 'rasterio', 'openvino'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
