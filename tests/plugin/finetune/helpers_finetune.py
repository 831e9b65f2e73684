"""What the tests of the tab Fine-tune do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari

from fctl_napari.plugin.dock.dock import open_tab
from fctl_napari.plugin.finetune.gate_report import GateReport
from fctl_napari.plugin.finetune.widget import FinetuneWidget
from fctl_napari.plugin.segment.widget import SegmentWidget

Until = Callable[..., None]
OpenFinetune = Callable[..., tuple[napari.Viewer, FinetuneWidget]]


def dock(viewer: napari.Viewer, name: str) -> Any:
    widget = open_tab(viewer, name)
    return widget


def segment(viewer: napari.Viewer, parent: Path, until: Until) -> SegmentWidget:
    """Segment the whole scene with the parent."""
    widget = dock(viewer, "Segment")
    assert isinstance(widget, SegmentWidget)
    widget.form.add_checkpoint(parent)
    widget.form.where.setCurrentText("Whole image")
    widget.start()
    until(lambda: not widget.running)
    return widget


def learn(widget: FinetuneWidget, until: Until) -> None:
    """Press Start, and wait until there is something to decide, with its result whole."""
    widget.form.start.click()
    assert widget.training
    decide(widget, until)


def decide(widget: FinetuneWidget, until: Until) -> None:
    until(lambda: widget.candidate_review is not None)
    until(lambda: not widget.busy)


def keep(report: GateReport) -> None:
    """Press Keep, and insist on it if the gate advises against it."""
    report.keep.click()
    if report.question.isVisible():
        report.question.yes.click()


def names(folder: Path) -> set[str]:
    """What lies in a folder, without locks."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}
