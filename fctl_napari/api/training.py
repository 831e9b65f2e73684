"""Training of networks, and the paper's ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fctl_napari.ablation.plan import TILES, AblationRequest
from fctl_napari.ablation.report import report as ablation_report
from fctl_napari.ablation.results import read_results
from fctl_napari.ablation.run import run_ablation
from fctl_napari.ablation.tables import Dataset
from fctl_napari.api import html
from fctl_napari.api.checked import Count, checked
from fctl_napari.api.checkpoints import Checkpoint, CheckpointLike
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION
from fctl_napari.training.config import load_train_config
from fctl_napari.training.train import train as run_training


@checked
def train(
    config: str | Path,
    data: Path | str = ".",
    out: Path | str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str = DEVICE.default,
    progress: Shown = True,
) -> Checkpoint:
    """Train a network, or resume a run that was stopped.

    Parameters
    ----------
    config : str or Path
        A TOML file, or a built-in recipe: ``"earth"``, ``"deepglobe/fctl_vgg16"``, ...
    data : Path or str, optional
        The data set, or where the config's relative paths start.
    out : Path, str or None, optional
        Folder of checkpoint, log and state. None is ``runs/NAME``.
    settings : mapping of str to object or None, optional
        Settings in place of the config's: ``{"schedule.steps": 100}``.
    device : str, optional
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    Checkpoint
        The trained network.

    Raises
    ------
    FctlError
        The config, the data or the device does not do; the sentence says what to do.
    """
    chosen = load_train_config(str(config), dict(settings or {}))
    folder = Path("runs") / chosen.name if out is None else Path(out)
    stages = [chosen.name]
    with progress_bar(f"Training {chosen.name}", progress) as report:

        def show(step: int, steps: int, loss: float) -> None:
            stage = "" if stages[-1] == chosen.name else f"{stages[-1]} "
            report(step, steps, f"{stage}loss {loss:.3f}")

        written = run_training(chosen, folder, data_folder=data, device=device, progress=show, starting=stages.append)
    return Checkpoint(written)


class AblationTable:
    """Results of an ablation.

    ``fctl.ablate`` makes it.

    Parameters
    ----------
    path : Path
        The table, a CSV file.

    Attributes
    ----------
    path : Path
        The table, a CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def report(self) -> str:
        """Return the results in the layout of the paper's tables, beside its figures.

        Returns
        -------
        str
            The tables, in Markdown.
        """
        return ablation_report(read_results(self.path))

    def __repr__(self) -> str:
        """Return the number of results in a line."""
        return f"<AblationTable {self.path}: {len(read_results(self.path))} results>"

    def _repr_markdown_(self) -> str:
        """Return the tables for a notebook."""
        return self.report()

    def _repr_html_(self) -> str | None:
        """Return nothing while there are results, which Markdown shows better."""
        return None if read_results(self.path) else html.sentence("There are no results yet.")


@checked
def ablate(
    tables: int | Sequence[int],
    config: str | Path = "earth",
    out: Path | str = "runs/ablation",
    *,
    rows: Sequence[str] = (),
    data: Path | str = ".",
    settings: Mapping[str, Any] | None = None,
    contexts: Dataset | None = None,
    base: str | None = None,
    seeds: Count = 3,
    steps: Count | None = None,
    minutes: float | None = None,
    frozen_encoders: CheckpointLike | None = None,
    tiles: Count = TILES,
    device: str = DEVICE.default,
    precision: str = PRECISION.default,
    scheduler: str | None = None,
    workers: Count | None = None,
    progress: Shown = True,
) -> AblationTable:
    """Train and measure every row of the paper's tables with the same budget.

    The same call resumes.

    Parameters
    ----------
    tables : int or sequence of int
        3 (contexts, GPE), 4 (sizes), 5 and 6 (ALE); 0 is the network without each of its bands.
    config : str or Path, optional
        How every row is trained: a TOML file, or a built-in recipe.
    out : Path or str, optional
        Folder of the table and the runs.
    rows : sequence of str, optional
        Names of the only rows to train, as ``fctl ablate list`` says them. Empty for all.
    data : Path or str, optional
        Where the config's relative paths start.
    settings : mapping of str to object or None, optional
        Settings in place of the config's.
    contexts : {"deepglobe", "inria"} or None, optional
        Data set of the paper whose context sizes are taken, in tiles. None is ``"inria"``, or ``"deepglobe"`` for the
        sample scene.
    base : str or None, optional
        Preset that rows change. None is the config's.
    seeds : int, optional
        Number of runs of each row.
    steps : int or None, optional
        Optimizer steps of each run. None is the config's number.
    minutes : float or None, optional
        In place of ``steps``: as many as the costliest row makes in this time.
    frozen_encoders : Checkpoint, str, Path or None, optional
        Encoders that every row takes as they are, with features kept on disk. Those of a built-in name are as its
        first stage left them.
    tiles : int, optional
        Number of augmented tiles that are then trained on.
    device, precision : str, optional
        As for ``fctl.segment``.
    scheduler : str or None, optional
        Address of a dask scheduler. None starts worker processes on this machine.
    workers : int or None, optional
        Number of those. None decides by memory and cores.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    AblationTable
        The results.

    Raises
    ------
    FctlError
        The request does not fit its data, or some rows could not be trained.
    """
    recipe = load_train_config(str(config), dict(settings or {}))
    request = AblationRequest(
        tables=(tables,) if isinstance(tables, int) else tuple(dict.fromkeys(tables)),
        only=tuple(rows),
        recipe=recipe,
        out=Path(out),
        data_folder=Path(data),
        contexts=contexts or ("deepglobe" if recipe.data.sample else "inria"),
        base=base,
        seeds=seeds,
        steps=steps,
        minutes=minutes,
        frozen_encoders=None if frozen_encoders is None else _encoders(frozen_encoders, Path(out)),
        tiles=tiles,
        device=device,
        precision=precision,
        scheduler=scheduler,
        workers=workers,
    )
    with progress_bar("Ablating", progress) as report:
        return AblationTable(run_ablation(request, report))


def _encoders(checkpoint: CheckpointLike, out: Path) -> Path:
    """Return the file of encoders: of a built-in name, those of its first stage, written beside the results."""
    if str(checkpoint) not in builtin_checkpoints():
        return Path(checkpoint)
    from fctl_napari.ablation.first_encoder import write_first_encoder

    return write_first_encoder(str(checkpoint), out / f"{checkpoint}_first_encoder.safetensors")
