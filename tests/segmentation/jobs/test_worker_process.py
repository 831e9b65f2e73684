"""However Python was started: the worker is a program of its own, and the user's script runs once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fctl_napari.exceptions import FctlError
from fctl_napari.segmentation.jobs import worker_process
from fctl_napari.segmentation.jobs.cluster import Workers

BODY = """
import os
with open({log!r}, "a") as log:
    print(os.getpid(), __name__, file=log)
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
engine = Engine(threads=1)
request = SegmentationRequest({image!r}, {out!r}, {checkpoint!r}, device="cpu", region=(0, 0, 10, 10))
final = engine.start(request).wait(200)
print("it is", final.state, final.error, flush=True)
engine.close()
"""
ONCE = 'if __name__ != "__main__":\n    raise RuntimeError("this script does not run twice")\n'
GUARD = 'if __name__ == "__main__":\n'


def guarded(body: str) -> str:
    return GUARD + "".join(f"    {line}\n" for line in body.splitlines())


def body_of(scene: Path, checkpoint: Path, folder: Path) -> str:
    locations = {"log": "log.txt", "out": "out.ome.zarr"}
    return BODY.format(
        **{k: str(folder / v) for k, v in locations.items()}, image=str(scene), checkpoint=str(checkpoint)
    )


@pytest.fixture
def body(scene: Path, lively: Path, tmp_path: Path) -> str:
    return body_of(scene, lively, tmp_path)


NIGHTLY = ("plain", "guarded", "-c", "-m", "package", "no input", "notebook")


@pytest.mark.parametrize("way", ["repl", *(pytest.param(way, marks=pytest.mark.nightly) for way in NIGHTLY)])
def test_the_script_runs_once_and_the_run_is_done(way: str, body: str, tmp_path: Path) -> None:
    """By day no script at all; ``awkward`` stands in for the scripts, and test_notebooks has an engine in a kernel."""
    script = tmp_path / "of_the_user.py"
    script.write_text({"guarded": guarded(body)}.get(way, body))
    command, given = [sys.executable, str(script)], None
    if way == "-c":
        command = [sys.executable, "-c", body]
    elif way == "-m":
        command = [sys.executable, "-m", script.stem]
    elif way == "package":
        (tmp_path / "their").mkdir()
        (tmp_path / "their" / "__init__.py").touch()
        script.rename(tmp_path / "their" / "__main__.py")
        command = [sys.executable, "-m", "their"]
    elif way == "repl":
        command, given = (
            [sys.executable, "-i"],
            body.replace("as log:\n    ", "as log: ").replace("file=log)", "file=log)\n"),
        )
    elif way == "no input":
        command = ["sh", "-c", 'exec "$0" "$1" <&-', *command]
    elif way == "notebook":  # IPython gives a cell's namespace for the main module, and %run the script
        pytest.importorskip("IPython")
        command = [sys.executable, "-m", "IPython", "--quick", "-c", f"%run {script}"]
    done = subprocess.run(command, input=given, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "it is done None" in done.stdout, done.stderr
    begun = (tmp_path / "log.txt").read_text().splitlines()
    assert len(begun) == 1, "the script ran again in another process"


STRANGERS = ("torch", "distributed", "signal", "asyncio", "dask", "fctl_napari")
"""Modules of these names lie where ``awkward`` is started."""


@pytest.fixture(scope="module")
def awkward(scene: Path, lively: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and folder of a script that can't run twice, without a standard input, in a folder of other modules."""
    folder = tmp_path_factory.mktemp("awkward")
    there, script = folder / "downloads", folder / "script" / "of_the_user.py"
    there.mkdir()
    script.parent.mkdir()
    script.write_text(ONCE + body_of(scene, lively, folder))
    for name in STRANGERS:
        (there / f"{name}.py").write_text(f"open({str(folder / 'strangers.txt')!r}, 'a').write({name!r})\n")
    command = ["sh", "-c", 'exec "$0" "$1" <&-', sys.executable, str(script)]
    done = subprocess.run(command, cwd=there, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr, folder


def test_a_script_that_cannot_run_twice_runs_once(awkward: tuple[str, Path]) -> None:
    output, folder = awkward
    assert "it is done None" in output
    assert len((folder / "log.txt").read_text().splitlines()) == 1, "the script ran again in another process"


def test_files_of_the_folder_it_is_started_in_are_not_imported(awkward: tuple[str, Path]) -> None:
    output, folder = awkward
    assert "it is done None" in output
    assert not (folder / "strangers.txt").exists()


@pytest.fixture
def workers() -> Workers:
    return Workers(None, 2)


def test_it_starts_where_the_working_folder_is_gone(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")  # as in a notebook
    folder.rmdir()
    try:
        assert workers.client().submit(os.getcwd).result(60) == sys.prefix
    finally:
        workers.close()


def test_a_worker_that_dies_comes_back_by_its_name_and_ends_at_once(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in worker_process.HEAP:  # a dask cluster of another test leaves one in this process
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "deleted later"
    folder.mkdir()
    monkeypatch.chdir(folder)
    client = workers.client()
    try:
        folder.rmdir()
        info = client.scheduler_info(n_workers=-1)["workers"]
        assert sorted(worker["name"] for worker in info.values()) == [0, 1]
        pids = client.run(os.getpid)
        assert os.getpid() not in pids.values()
        heap = client.run(lambda: {name: os.environ[name] for name in worker_process.HEAP})
        assert set(map(str, heap.values())) == {str({k: str(v) for k, v in worker_process.HEAP.items()})}
        victim = min(pids.values())
        os.kill(victim, signal.SIGKILL)
        end = time.monotonic() + 60
        while not (len(now := set(client.run(os.getpid, on_error="ignore").values())) == 2 and victim not in now):
            assert time.monotonic() < end, "it did not come back"
            time.sleep(0.1)
        names = [worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        assert sorted(names) == [0, 1]
        assert all(map(os.path.isdir, client.run(os.getcwd).values()))
    finally:
        workers.close()
    assert not any(psutil.pid_exists(pid) for pid in now)
    assert not worker_process.HEAP.keys() & os.environ.keys(), "this process has the worker's settings"


@pytest.mark.timeout(60)  # it is told at once, rather than after the minutes that a worker may take
@pytest.mark.parametrize(
    ("python", "words"),
    [("/nowhere/python", "No such file or directory: '/nowhere/python'"), ("false", "it ended with an error")],
)
def test_a_python_that_cannot_be_started_is_reported(
    workers: Workers, python: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(FctlError, match=rf"^{python}: no worker process could be started: .*{words}"):
        workers.client()
    workers.close()
