"""Runs of an ablation: networks in parallel through dask, with results in one table as they come.

torch is not imported before it is needed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

import psutil

from fctl_napari import __version__
from fctl_napari.ablation.plan import RESULTS, ROWS, AblationRequest, Plan, Training, make_plan, networks_of
from fctl_napari.ablation.results import Result, append_results, read_results
from fctl_napari.ablation.work import Share, make_features, seconds_per_step, train_and_measure
from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.files import new_folder, write_json
from fctl_napari.segmentation.inference.hardware import resolve_device
from fctl_napari.segmentation.jobs.cluster import DESERTED_SECONDS, Workers, result_of
from fctl_napari.segmentation.jobs.worker import guarded
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from distributed import Future

BUDGETS = "budgets.json"
LOG = "log.jsonl"
LINE_BYTES = 4000
"""Upper bound of the length of a line in a run's log."""

LOOK_SECONDS = 1.0
"""Interval at which progress is polled, s."""

PROCESS_BYTES = 900e6
BYTES_PER_PARAMETER = 20
BYTES_PER_PX = 3000
"""Memory of a worker, roughly measured: its own, and more for each parameter and each px of a batch and stream."""

Progress = Callable[[int, int, str], None]
State = Callable[[int], tuple[int, int, str]]


@dataclass(frozen=True)
class Failure:
    """A network that could not be trained.

    Attributes
    ----------
    training : Training
        The training.
    error : FctlError
        The reason.
    """

    training: Training
    error: FctlError


def run_ablation(request: AblationRequest, progress: Progress | None = None) -> Path:
    """Train and measure what a request asks for and its table does not have yet.

    Parameters
    ----------
    request : AblationRequest
        The request. Rows that are in the table with the same settings are not trained again, rows that were cut short
        are resumed, and a network that stands for several rows is trained once.
    progress : Progress or None, optional
        Called with the number of finished steps, the total number of steps and a note on what is done.

    Returns
    -------
    Path
        Path of the table.

    Raises
    ------
    FctlError
        The request does not fit its data, its folder cannot be made, or some rows could not be trained (the others are
        in the table).
    """
    with new_folder(request.out):
        return _run(request, progress or (lambda done, total, note: None))


def _run(request: AblationRequest, progress: Progress) -> Path:
    table = request.out / RESULTS
    known = _known_steps(request)
    if request.minutes is None or known is not None:
        plan = make_plan(request, known)
        _copy_known(table, request, plan)
        if not _missing(table, plan.trainings):
            if request.scheduler is None:
                resolve_device(request.device)  # a device that is not there is refused whether it is needed or not
            return table
    else:
        plan = make_plan(request, steps=10**6)
    with _workers(request, plan) as (workers, share):
        running = _Running(workers, share, progress)
        running.make_features(plan)
        if request.minutes is not None and known is None:
            steps = running.steps_within(60 * request.minutes, plan.trainings)
            _remember_steps(request, steps)
            plan = make_plan(request, steps)
            _copy_known(table, request, plan)
        failures = running.train(request, _missing(table, plan.trainings), table)
    if failures:
        first = failures[0]
        raise FctlError(
            f"{len(failures)} of {count_of(len(plan.trainings), 'network')} could not be trained, the first is "
            f"{first.training.config.name}: {first.error} The others are in {table}."
        )
    return table


def checkpoint_of(table: Path, row: str, seed: int | None = None) -> Path:
    """Find the network that was trained for a row.

    Parameters
    ----------
    table : Path
        Path of the table from ``run_ablation``, in the folder where it was written.
    row : str
        Name of the row, such as ``table3-medium-gpe``.
    seed : int or None, optional
        Seed of the training. None takes any. The last one measured is taken.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    InputError
        There is none, or its file is gone.
    """
    for result in reversed(read_results(table)):
        if result.row == row and seed in (None, result.seed):
            with suppress(InputError):  # an older one may still be there
                return network_of(table, result)
    raise _no_network(table, row)


def network_of(table: Path, result: Result) -> Path:
    """Find the network that a result was measured on.

    Parameters
    ----------
    table : Path
        Path of the table that the result stands in, in the folder where it was written.
    result : Result
        The result.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    InputError
        Its file is gone.
    """
    for file in (table.parent / ROWS / result.settings).glob("*.safetensors"):
        return file
    raise _no_network(table, result.row)


def _no_network(table: Path, row: str) -> InputError:
    return InputError(f"{table}: there is no trained network of {row} beside it; run fctl ablate run.")


def to_results(request: AblationRequest, training: Training, figures: dict[str, Any]) -> list[Result]:
    """Convert the figures of one network to lines of the table.

    Parameters
    ----------
    request : AblationRequest
        The request.
    training : Training
        The training of the network.
    figures : dict of str to object
        The fields of ``Result`` that ``train_and_measure`` returns.

    Returns
    -------
    list of Result
        One line for each row that the network stands for.
    """
    return [
        Result(
            table=row.table,
            row=row.name,
            label=row.label,
            contexts=request.contexts,
            data=request.recipe.name,
            holdout=request.recipe.data.holdout,
            base=request.base or request.recipe.preset,
            encoder=training.network.encoder,
            tile_size=training.network.tile_size,
            seed=training.config.seed,
            steps=training.config.steps,
            batch=training.config.batch * training.config.accumulate,
            frozen=training.frozen.hash[:12] if training.frozen else "",
            settings=training.settings,
            version=__version__,
            commit=code_commit(),
            **figures,
        )
        for row in training.rows
    ]


def code_commit() -> str:
    """Return the commit of this code.

    Returns
    -------
    str
        12 digits, with a ``+`` if files were changed. Empty if the code lies in no repository.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _missing(table: Path, trainings: Sequence[Training]) -> list[Training]:
    there = {(result.settings, result.row) for result in read_results(table)}
    return [t for t in trainings if any((t.settings, row.name) not in there for row in t.rows)]


def _copy_known(table: Path, request: AblationRequest, plan: Plan) -> None:
    """Add the rows whose network has already been trained for another table."""
    results = read_results(table)
    by_settings = {result.settings: result for result in results}
    there = {(result.settings, result.row) for result in results}
    added = [
        replace(by_settings[t.settings], table=row.table, row=row.name, label=row.label, contexts=request.contexts)
        for t in plan.trainings
        if t.settings in by_settings
        for row in t.rows
        if (t.settings, row.name) not in there
    ]
    if added:
        append_results(table, added)


def _budget_key(request: AblationRequest) -> str:
    frozen = str(request.frozen_encoders)
    facts = (request.tables, request.recipe.name, request.contexts, request.base, frozen, request.device)
    return json.dumps([*facts, request.minutes, *request.only])


def _known_steps(request: AblationRequest) -> int | None:
    """Return the number of steps that a budget in minutes gave before, so that begun runs resume with the same."""
    file = request.out / BUDGETS
    if request.minutes is None or not file.is_file():
        return None
    found = json.loads(file.read_text("utf-8")).get(_budget_key(request))
    return None if found is None else int(found)


def _remember_steps(request: AblationRequest, steps: int) -> None:
    file = request.out / BUDGETS
    known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    write_json(file, known | {_budget_key(request): steps})


@contextmanager
def _workers(request: AblationRequest, plan: Plan) -> Iterator[tuple[Workers, Share]]:
    if request.scheduler is not None:
        workers, share = Workers(request.scheduler), Share()
    else:
        number = min(request.workers or _fitting(request, plan), len(plan.trainings) + len(plan.chunks))
        workers = Workers(None, number)
        share = Share(max(1, usable_cores() // number), spread=True)
    try:
        yield workers, share
    finally:
        workers.close()


def _fitting(request: AblationRequest, plan: Plan) -> int:
    """Count the worker processes that this machine has room for: one for each GPU, or by cores and memory."""
    if request.device != "cpu":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count() if request.device == "auto" else 1
    from fctl_napari.evaluation.cost import count_parameters

    def need(training: Training) -> float:
        network = training.network
        px = training.config.batch * network.tile_size**2 * (1 if training.frozen else 1 + len(network.outer_contexts))
        return PROCESS_BYTES + BYTES_PER_PARAMETER * count_parameters(network).total + BYTES_PER_PX * px

    most = max(need(training) for training in networks_of(plan.trainings))
    return max(1, min(usable_cores(), int(psutil.virtual_memory().available // most)))


class _Running:
    """Tasks on workers and their progress."""

    def __init__(self, workers: Workers, share: Share, progress: Progress) -> None:
        self._workers = workers
        self._share = share
        self._progress = progress
        self._seen = time.monotonic()

    def make_features(self, plan: Plan) -> None:
        """Compute the missing features."""
        first = plan.trainings[0]  # any training will do, since features do not depend on what they differ in
        if first.frozen is None:
            return
        tasks = [(first, chunk) for chunk in plan.chunks if not chunk.file(first.frozen).exists()]
        for _, result in self._run(make_features, tasks, lambda done: (done, len(tasks), "files of features")):
            if isinstance(result, FctlError):
                raise result

    def steps_within(self, seconds: float, trainings: Sequence[Training]) -> int:
        """Count the steps that the costliest network makes in a time, while the others are timed beside it."""
        tasks = [(training,) for training in networks_of(trainings)]
        times: list[float] = []
        for _, result in self._run(seconds_per_step, tasks, lambda done: (done, len(tasks), "networks timed")):
            if isinstance(result, FctlError):
                raise result
            times.append(result)
        return max(1, math.floor(seconds / max(times)))

    def train(self, request: AblationRequest, trainings: Sequence[Training], table: Path) -> list[Failure]:
        """Train and measure networks, and write each result to the table as soon as it is known."""
        total = sum(training.config.steps for training in trainings)

        def state(done: int) -> tuple[int, int, str]:
            return sum(map(_steps_done, trainings)), total, f"{done} of {count_of(len(trainings), 'network')}"

        failures = []
        for (training,), result in self._run(train_and_measure, [(training,) for training in trainings], state):
            if isinstance(result, FctlError):
                failures.append(Failure(training, result))
            else:
                append_results(table, to_results(request, training, result))
        return failures

    def _run(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        state: Callable[[int], tuple[int, int, str]],
    ) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Call a function with each task's arguments on the workers, and yield each task with its result or FctlError.

        ``state`` converts the number of finished tasks to the arguments of the progress callback.
        """
        if not tasks:
            return
        client = self._workers.client()
        waiting: dict[Future, tuple[Any, ...]] = {
            client.submit(guarded, function, *task, self._share, pure=False): task for task in tasks
        }
        finished: Queue[Future] = Queue()
        for future in waiting:
            future.add_done_callback(finished.put)
        try:
            while waiting:
                self._progress(*state(len(tasks) - len(waiting)))
                self._check_workers()
                try:
                    future = finished.get(timeout=LOOK_SECONDS)
                except Empty:
                    continue
                try:
                    result = result_of(future, "the worker process died at it repeatedly.")
                except FctlError as error:
                    result = error
                yield waiting.pop(future), result
            self._progress(*state(len(tasks)))
        finally:
            client.cancel(list(waiting))

    def _check_workers(self) -> None:
        """Give up if there has been no worker for a long time.

        Raises
        ------
        FctlError
            There has been none for ``DESERTED_SECONDS``.
        """
        if self._workers.count():
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > DESERTED_SECONDS:
            raise FctlError("there are no workers any more; start some and run again to resume.")


def _steps_done(training: Training) -> int:
    """Count the steps of a run by the last line of its log."""
    try:
        with (training.folder / LOG).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LINE_BYTES))
            return int(json.loads(file.read().splitlines()[-1])["step"])
    except (OSError, ValueError, LookupError):  # the run has not begun, or is writing a line
        return 0
