"""Fine-tuning in a real worker process: the same bits as in one go, whatever happens to it in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from fctl_napari.exceptions import CheckpointError, FctlError, InputError, OutputError
from fctl_napari.finetuning.candidates import candidate_path, keep, roll_back, state_path
from fctl_napari.finetuning.finetune import Finetuner
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.run import FinetuneEvent, FinetuneRun, start_finetune
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.explanation import ExplainRequest

if TYPE_CHECKING:
    from conftest import Corrected

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_stages")]

ENOUGH = 250
"""How long a run may take at most, s."""

STEPS = 30
"""Of a run: several stages."""


@pytest.fixture
def request_(corrected: Corrected, tmp_path: Path) -> FinetuneRequest:
    return long_enough(corrected, tmp_path)


def long_enough(corrected: Corrected, folder: Path) -> FinetuneRequest:
    return corrected.request(folder / "new.safetensors", steps=STEPS, check_every=10, save_every=2)


@pytest.fixture(scope="module")
def engine(command_engine: Engine) -> Engine:
    return command_engine


@pytest.fixture(scope="module")
def whole(corrected: Corrected, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a run in one go, in this process."""
    request = long_enough(corrected, tmp_path_factory.mktemp("whole"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    result = Finetuner(request).run()
    torch.set_num_threads(threads)
    return weights_of(result.candidate)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)[0].state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


class Follow:
    """Hears a run, and does something once when it has come to a step."""

    def __init__(self, step: int = -1, then: Callable[[], object] = lambda: None) -> None:
        self.heard: list[FinetuneEvent] = []
        self._step = step
        self._then = then

    def __call__(self, event: FinetuneEvent) -> None:
        self.heard.append(event)
        if event.state == "training" and event.progress.done == self._step:
            self._step = -1
            self._then()

    @property
    def steps(self) -> list[int]:
        done = [event.progress.done for event in self.heard if event.state == "training"]
        return [step for i, step in enumerate(done) if i == 0 or done[i - 1] != step]


def test_the_same_weights_as_in_one_go_and_nobody_decides(
    engine: Engine, request_: FinetuneRequest, whole: dict[str, torch.Tensor]
) -> None:
    request = request_
    hear = Follow()
    run = start_finetune(engine, request, hear)
    final = run.wait(ENOUGH)
    assert run.request == request
    assert (final.state, final.error) == ("done", None)
    assert final == hear.heard[-1]
    states = [event.state for event in hear.heard]
    assert states == sorted(states, key=["starting", "preparing", "training", "measuring", "done"].index)
    assert hear.steps == list(range(1, STEPS + 1))
    assert hear.heard[-2].progress.before["scene"].agreement == 1
    assert final.result.candidate == candidate_path(request.out)
    assert not final.result.kept
    assert not os.path.exists(request.out)
    assert same(whole, weights_of(final.result.candidate))
    keep(request.out)
    assert [path.name for path in Path(request.out).parent.iterdir()] == ["new.safetensors"]
    taken = start_finetune(engine, request).wait(ENOUGH)
    assert isinstance(taken.error, OutputError)


def test_paused_cancelled_and_resumed_while_questions_are_answered(
    engine: Engine, request_: FinetuneRequest, whole: dict[str, torch.Tensor], corrected: Corrected
) -> None:
    request = request_
    runs: list[FinetuneRun] = []
    hear = Follow(1, lambda: runs[0].pause())
    runs.append(start_finetune(engine, request, hear))
    question = ExplainRequest(request.image, str(corrected.parent), (20.0, 20.0), device="cpu", precision="fp32")
    asked = engine.explain(question)
    assert asked.result(ENOUGH).labels.any()
    assert runs[0].wait(0).state not in ("done", "failed"), "the answer came while it trains"
    while runs[0].wait(0.05).state != "paused":
        assert runs[0].wait(0).state != "failed"
    told = len(hear.heard)
    assert engine.explain(question).result(ENOUGH).labels.any()
    assert runs[0].wait(1).state == "paused"
    assert len(hear.heard) == told
    runs[0].cancel()
    final = runs[0].wait(ENOUGH)
    assert (final.state, final.error, final.result) == ("cancelled", None, None)
    assert state_path(request.out).exists()
    assert not os.path.exists(request.out)
    stopped = hear.steps[-1]
    assert stopped < STEPS, "it was not stopped in the middle"
    again = Follow()
    final = start_finetune(engine, request, again).wait(ENOUGH)
    assert final.state == "done"
    # A step after which it was stopped while it measured is told by neither.
    measured = 1 if again.steps[0] > stopped + 1 and (stopped + 1) % request.check_every == 0 else 0
    assert again.steps == list(range(stopped + 1 + measured, STEPS + 1))
    assert same(whole, weights_of(final.result.candidate))
    roll_back(request.out)
    assert not list(Path(request.out).parent.iterdir())


def test_a_killed_worker_costs_what_came_after_the_saved_state(
    engine: Engine, request_: FinetuneRequest, whole: dict[str, torch.Tensor]
) -> None:
    killed: list[psutil.Process] = []

    def kill() -> None:
        killed.append(max(workers(psutil.Process()), key=psutil.Process.create_time))  # others are of other engines
        killed[0].send_signal(signal.SIGKILL)

    hear = Follow(1, kill)
    final = start_finetune(engine, request_, hear).wait(ENOUGH)
    assert (final.state, final.error) == ("done", None)
    assert len(killed) == 1
    assert killed[0] not in workers(psutil.Process())
    assert (hear.steps[0], hear.steps[-1]) == (1, STEPS)
    jumps = [(one, other) for one, other in pairwise(hear.steps) if other != one + 1]
    assert len(jumps) <= 1
    for before, after in jumps:
        assert after % 2 == 1, "every second step was saved"
        assert after >= before, "what was saved is not done again"
    assert same(whole, weights_of(final.result.candidate))


WINDOW = """
import sys
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.run import start_finetune
from fctl_napari.segmentation.jobs import stateful_job
from fctl_napari.segmentation.jobs.engine import Engine

if __name__ == "__main__":
    stateful_job.STAGE_SECONDS = 0.0
    request = FinetuneRequest.model_validate_json(sys.argv[1])
    engine = Engine(threads=1)
    run = start_finetune(engine, request, lambda e: print(e.state, e.progress and e.progress.done, flush=True))
    print(run.wait().error)
"""


def workers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children(recursive=True) if "worker_process" in " ".join(child.cmdline())]


def test_after_the_process_that_asked_was_killed_the_same_request_resumes(
    engine: Engine, request_: FinetuneRequest, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    request = request_
    script = tmp_path / "window.py"
    script.write_text(WINDOW)
    window = subprocess.Popen(
        [sys.executable, str(script), request.model_dump_json()], stdout=subprocess.PIPE, text=True
    )
    assert window.stdout is not None
    for line in window.stdout:
        if line == "training 2\n":
            break
    else:
        pytest.fail(f"it ended before a state was saved: {line}")
    orphans = workers(psutil.Process(window.pid))
    window.kill()
    window.wait()
    window.stdout.close()
    assert orphans
    _, alive = psutil.wait_procs(orphans, timeout=20)
    assert not alive, "a worker outlived the process that asked"
    assert state_path(request.out).exists()
    hear = Follow()
    final = start_finetune(engine, request, hear).wait(ENOUGH)
    assert final.state == "done"
    assert hear.steps == list(range(hear.steps[0], STEPS + 1)), "it was not killed in the middle"
    assert hear.steps[0] % 2 == 1, "every second step was saved"
    assert hear.steps[0] > 1
    assert same(whole, weights_of(final.result.candidate))


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        ({"image": "nowhere.png"}, InputError, "nowhere.png"),
        ({"checkpoint": "nowhere.safetensors"}, CheckpointError, "there is no such checkpoint"),
        ({"corrections": "nowhere.ome.zarr"}, InputError, "nowhere.ome.zarr"),
        ({"bands": (0, 1, 7)}, InputError, "bands"),
    ],
)
def test_what_cannot_be_used_arrives_as_a_sentence(
    engine: Engine,
    request_for: Callable[..., FinetuneRequest],
    wrong: dict[str, object],
    kind: type[FctlError],
    words: str,
) -> None:
    final = start_finetune(engine, request_for(**wrong)).wait(ENOUGH)
    assert final.state == "failed"
    with pytest.raises(kind, match=words):
        raise final.error


def test_the_window_loads_no_torch_for_it() -> None:
    code = "import sys, fctl_napari.finetuning.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
