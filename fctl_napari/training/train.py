"""Training of a config, stage by stage."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from fctl_napari.files import new_folder
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.distributed import joined
from fctl_napari.training.pretraining.unlabelled import listed_images
from fctl_napari.training.run_state import is_finished
from fctl_napari.training.stages import stages_of
from fctl_napari.training.trainer import Trainer


def train(
    config: TrainConfig,
    out: Path | str,
    *,
    data_folder: Path | str = ".",
    device: str = "auto",
    progress: Callable[[int, int, float], None] | None = None,
    starting: Callable[[str], None] | None = None,
) -> Path:
    """Run a training config in a folder, stage by stage.

    Under torchrun it runs together with the other processes. Finished stages are not trained again, and a stopped one
    resumes from its last saved state. A warning of the same words is shown once, whichever stages give it.

    Parameters
    ----------
    config : TrainConfig
        Settings of the whole training.
    out : Path or str
        Folder of the last stage. Earlier stages get subfolders of their names.
    data_folder : Path or str, optional
        Folder that relative paths of the config start from.
    device : str, optional
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress : callable or None, optional
        Called after each step of a stage with step, steps and loss.
    starting : callable or None, optional
        Called with the name of each stage's checkpoint before it is trained.

    Returns
    -------
    Path
        The checkpoint of the last stage.

    Raises
    ------
    ConfigError
        Settings do not fit each other, the network or the data, a folder holds a run of other settings, or there is no
        such device.
    InputError
        The data cannot be used.
    CheckpointError
        The starting weights cannot be used.
    OutputError
        A folder, a state or a checkpoint cannot be written.
    """
    if config.data.images:  # listed once, so that a run goes on with the images that it began with
        images = listed_images(config.data.images, data_folder)
        config = config.model_copy(update={"data": config.data.model_copy(update={"images": images})})
    with joined(device) as group, _warning_once():
        for stage in stages_of(config, out):
            done = group.first and is_finished(stage.out, stage.config)
            if not group.broadcast(done):
                if starting is not None:
                    starting(stage.config.name)
                # made before the data are read, so that a bad folder is reported at once
                with new_folder(stage.out) if group.first else nullcontext():
                    Trainer(stage.config, stage.out, data_folder=data_folder, group=group).run(progress)
        return stage.checkpoint


@contextmanager
def _warning_once() -> Iterator[None]:
    """Show each warning of the same words once, even if a filter wants all of them."""
    with warnings.catch_warnings():
        show, shown = warnings.showwarning, set[str]()

        def show_once(message: Warning | str, *details: Any, **more: Any) -> None:
            if str(message) not in shown:
                shown.add(str(message))
                show(message, *details, **more)

        warnings.showwarning = show_once
        yield
