"""Long jobs in short stages, in real worker processes: one of them keeps the state, while it is needed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import helpers_stages
import psutil
import pytest
from distributed import Client, LocalCluster

from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.stateful_job import DEATHS, Kept, StagedEvent

pytestmark = pytest.mark.slow

ENOUGH = 250
"""How long a run may take at most, s."""


class Listener:
    """Hears a run, and waits for what it says."""

    def __init__(self, then: Callable[[StagedEvent], None] = lambda event: None) -> None:
        self.heard: list[StagedEvent] = []
        self._then = then
        self._told = threading.Condition()

    def __call__(self, event: StagedEvent) -> None:
        with self._told:
            self.heard.append(event)
            self._told.notify_all()
        self._then(event)

    def wait_for(self, condition: Callable[[StagedEvent], bool]) -> None:
        with self._told:
            assert self._told.wait_for(lambda: any(map(condition, self.heard)), ENOUGH), self.heard[-1:]

    @property
    def states(self) -> list[str]:
        """Without repetitions."""
        states = [event.state for event in self.heard]
        return [state for i, state in enumerate(states) if i == 0 or states[i - 1] != state]

    @property
    def numbers(self) -> list[int]:
        return [event.messages[0] for event in self.heard if event.messages]

    @property
    def processes(self) -> set[int]:
        return {event.messages[1] for event in self.heard if event.messages}


def gone(client: Client) -> bool:
    """Whether no worker keeps a job, within a while."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not any(client.run(helpers_stages.jobs_kept).values()):
            return True
        time.sleep(0.1)
    return False


def test_a_job_runs_stage_after_stage_in_one_process_and_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    hear = Listener()
    final = engine.start_staged(helpers_stages.count, (str(tmp_path / "saved"), 30), hear).wait(ENOUGH)
    assert final == hear.heard[-1]
    assert (final.state, final.result) == ("done", "counted to 30")
    assert hear.states == ["starting", "running", "done"]
    assert hear.numbers == list(range(1, 31))
    assert len(hear.processes) == 1
    assert os.getpid() not in hear.processes
    assert gone(engine._workers.client())


def test_the_memory_of_the_worker_returns(engine: Engine) -> None:
    held: list[tuple[psutil.Process, int]] = []

    def measure(event: StagedEvent) -> None:
        if event.messages and not held:
            worker = psutil.Process(event.messages)
            held.append((worker, worker.memory_info().rss))

    assert engine.start_staged(helpers_stages.fill_memory, 400, measure).wait(ENOUGH).state == "done"
    ((worker, most),) = held
    assert most - worker.memory_info().rss > 200e6  # some of the 400 MB may have been free in its heap before


def test_paused_it_stands_still_and_resumes_where_it_was(engine: Engine, tmp_path: Path) -> None:
    hear = Listener(lambda event: run.pause() if event.messages and event.messages[0] == 3 else None)
    begin = threading.Event()
    run = engine.start_staged(
        helpers_stages.count, (str(tmp_path / "saved"), 30), lambda e: (begin.wait(ENOUGH), hear(e))
    )
    begin.set()
    hear.wait_for(lambda event: event.state == "paused")
    told = len(hear.heard)
    assert run.wait(1.0).state == "paused"
    assert len(hear.heard) == told
    assert hear.numbers[-1] < 30
    run.resume()
    assert run.wait(ENOUGH).state == "done"
    assert hear.states == ["starting", "running", "paused", "running", "done"]
    assert hear.numbers == list(range(1, 31)), "nothing was done twice"
    assert not (tmp_path / "saved").exists(), "nothing was begun anew"


@pytest.mark.parametrize("paused", [False, True])
def test_cancelled_it_saves_its_state_and_the_same_job_resumes(engine: Engine, tmp_path: Path, paused: bool) -> None:
    job = (str(tmp_path / "saved"), 40)
    hear = Listener()
    run = engine.start_staged(helpers_stages.count, job, hear)
    hear.wait_for(lambda event: event.messages is not None)
    if paused:
        run.pause()
        hear.wait_for(lambda event: event.state == "paused")
    run.cancel()
    assert run.wait(ENOUGH) == StagedEvent("cancelled")
    assert (tmp_path / "saved").read_text() == str(hear.numbers[-1])
    assert hear.numbers[-1] < 40
    assert gone(engine._workers.client())
    again = Listener()
    assert engine.start_staged(helpers_stages.count, job, again).wait(ENOUGH).state == "done"
    assert hear.numbers + again.numbers == list(range(1, 41))


def test_it_can_be_cancelled_before_it_begins(engine: Engine, tmp_path: Path) -> None:
    run = engine.start_staged(helpers_stages.count, (str(tmp_path / "saved"), 1000))
    run.cancel()
    assert run.wait(ENOUGH).state == "cancelled"


@pytest.mark.parametrize(("argument", "kind"), [("cheese", InputError), ("bug", ZeroDivisionError)])
def test_what_goes_wrong_arrives(engine: Engine, argument: str, kind: type[Exception]) -> None:
    final = engine.start_staged(helpers_stages.refuse, argument).wait(ENOUGH)
    assert final.state == "failed"
    with pytest.raises(kind, match="cheese: is none" if kind is InputError else "a bug"):
        raise final.error
    assert gone(engine._workers.client())


@pytest.mark.nightly  # four worker processes, one after the other
def test_a_job_that_kills_its_workers_is_given_up(engine: Engine, tmp_path: Path) -> None:
    """Each time a stage has gone well, so that no dask task dies often."""
    final = engine.start_staged(helpers_stages.die_later, str(tmp_path / "begun")).wait(ENOUGH)
    assert final.state == "failed"
    with pytest.raises(FctlError, match=r"died 3 times in this run, .*what was saved is kept"):
        raise final.error
    assert DEATHS <= len((tmp_path / "begun").read_text().split()) <= DEATHS + 1


def test_of_a_cluster_one_worker_keeps_the_job_until_it_dies(cluster: LocalCluster, tmp_path: Path) -> None:
    """Other tasks wait at that worker, which the idle one could take over; the job it must not."""
    client = Client(cluster, set_as_default=False)  # for this test alone
    saved = tmp_path / "saved"
    killed: list[int] = []

    def kill_once(event: StagedEvent) -> None:
        if event.messages and event.messages[0] >= 30 and not killed:
            killed.append(event.messages[1])
            saved.write_text("25")  # as if saved then
            psutil.Process(killed[0]).send_signal(signal.SIGKILL)

    hear = Listener(kill_once)
    others = [client.submit(time.sleep, 0.05, pure=False) for _ in range(40)]
    with Engine(cluster.scheduler_address, threads=1) as engine:
        final = engine.start_staged(helpers_stages.count, (str(saved), 60), hear).wait(ENOUGH)
    assert (final.state, final.result) == ("done", "counted to 60")
    again = hear.numbers.index(26, 26)
    assert hear.numbers[:again] == list(range(1, again + 1))
    assert hear.numbers[again:] == list(range(26, 61)), "what came after the saved state is done again"
    assert len(hear.processes) == 2
    assert killed[0] in hear.processes
    for other in others:
        other.cancel()


ASKER = """
import sys
import helpers_stages
from fctl_napari.segmentation.jobs.engine import Engine

if __name__ == "__main__":
    scheduler, saved = sys.argv[1:]
    engine = Engine(scheduler, threads=1)
    engine.start_staged(helpers_stages.count, (saved, 100_000), lambda event: print(event.state, flush=True)).wait()
"""


def test_a_job_whose_owner_is_killed_saves_its_state_and_goes(cluster: LocalCluster, tmp_path: Path) -> None:
    client = Client(cluster, set_as_default=False)  # for this test alone
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, "-c", ASKER, cluster.scheduler_address, str(tmp_path / "saved")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line == "running\n":
            break
    assert any(client.run(helpers_stages.jobs_kept).values())
    child.kill()
    child.wait()
    child.stdout.close()
    assert gone(client)
    assert int((tmp_path / "saved").read_text()) > 0


def test_a_job_that_is_sent_elsewhere_begins_from_its_saved_state() -> None:
    kept = Kept(helpers_stages.count, ("nowhere", 3), 1)
    kept._stages = helpers_stages.count(("nowhere", 3))
    assert pickle.loads(pickle.dumps(kept))._stages is None
