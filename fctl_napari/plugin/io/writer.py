"""Writer of labels, by which napari saves segmentations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from npe2 import PluginManager
from npe2.manifest.contributions import WriterContribution
from qtpy.QtCore import QEventLoop, QThread
from qtpy.QtWidgets import QApplication

from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.exporting.export import check_export
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.notify import say
from fctl_napari.plugin.io.export import ExportInputs, export_work
from fctl_napari.plugin.layers.own_writer import COMMAND, SAVED_KEY
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.segmentation.store.store import Segmentation


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a layer of labels (napari's writer).

    A segmentation is exported by the end of the name, as ``.tif`` if it has none: a mask as the final map, and a layer
    of the tab Export as what it shows. The file is there on return. The window goes on meanwhile. Labels that are no
    segmentation of ours are left to the writer that would save them without this one.

    Parameters
    ----------
    path : str
        Path of the file to write.
    data : object
        Data of the layer. Of a segmentation the store is read instead.
    attributes : dict of str to object
        Attributes of the layer.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    InputError
        The layer shows no segmentation of ours, and no other writer can write it there; or it was painted on.
    FctlError
        See ``export``.
    """
    metadata = attributes.get("metadata", {})
    if SAVED_KEY in metadata:
        store, what = metadata[SAVED_KEY]
    elif STORE_KEY in metadata:
        store, what = metadata[STORE_KEY], "final map"
        _check_shown(store, data, attributes)
    else:
        return _write_other(path, data, attributes)
    out = Path(path if Path(path).suffix else f"{path}.tif")
    check_export(out)
    say(_export(ExportInputs(str(store), out, what=what)))
    return [str(out)]


def _check_shown(store: str, data: Any, attributes: dict[str, Any]) -> None:
    """Refuse a mask that shows something else than its store: napari lets people paint on one of a single level."""
    if attributes.get("multiscale"):
        return
    if not np.array_equal(np.asarray(data), np.asarray(Segmentation.open(store).labels.levels[0][:, :])):
        name = attributes.get("name", store)
        raise InputError(
            f"{name}: shows other classes than {store}, which would be saved; paint in the tab Correct, or save it "
            "when its run has ended."
        )


def _export(inputs: ExportInputs) -> str:
    """Export, and return the sentence about it when the file is there."""
    work = export_work(inputs)
    application = QApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return str(work(lambda _done, _total: None))
    results: list[str] = []
    errors: list[BaseException] = [Cancelled(f"{inputs.out}: was not saved, as the window was closed.")]
    waiting = QEventLoop()  # in which the window goes on
    job = Job(work, label=f"saving {inputs.out.name}")
    job.finished.connect(results.append)
    job.failed.connect(lambda error: errors.insert(0, error))
    job.finished.connect(waiting.quit)
    job.failed.connect(waiting.quit)
    job.start()
    waiting.exec()
    if not results:
        raise errors[0]
    return results[0]


def _write_other(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save labels that are no segmentation of ours, by the writer that npe2 takes without this one."""
    name = attributes.get("name", path)
    writer = _other_writer(path)
    if writer is None:
        raise InputError(f"{name}: is no segmentation by FCtL; save it as .tif.")
    if attributes.get("multiscale") and writer.plugin_name == "napari":
        raise InputError(f"{name}: has several levels and is no segmentation by FCtL; save a layer with one level.")
    path = path if Path(path).suffix else f"{path}{writer.filename_extensions[0]}"
    written: Any = writer.exec(args=(path, data, attributes))  # some return a path alone
    return [written] if isinstance(written, str) else list(written or [])


def _other_writer(path: str) -> WriterContribution | None:
    """Return the writer of labels with the longest suffix that matches, the first of several, as npe2 does."""
    file_name = os.path.basename(path).lower()
    writers = PluginManager.instance().iter_compatible_writers(["labels"])
    others = [writer for writer in writers if writer.command != COMMAND and writer.filename_extensions]
    if not Path(path).suffix:
        return others[0] if others else None

    def matching(writer: WriterContribution) -> int:
        return max((len(end) for end in writer.filename_extensions if file_name.endswith(end.lower())), default=0)

    best = max(others, key=matching, default=None)
    return best if best is not None and matching(best) else None
