"""Report of a map, written in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.correcting.final_map import find_final_map
from fctl_napari.plugin.common.chosen_ground_truth import ChosenGroundTruth
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


@dataclass(frozen=True)
class ReportInputs:
    """Inputs of a report.

    Attributes
    ----------
    store : str
        Path of the segmentation.
    out : Path
        File to write; its ending gives the format.
    final : bool
        If True, corrections that lie beside the image are part of the map.
    chosen : ChosenGroundTruth or None
        Ground truth that the map is compared with where no points are checked.
    """

    store: str
    out: Path
    final: bool
    chosen: ChosenGroundTruth | None


def report_work(inputs: ReportInputs) -> Callable[[Progress], str]:
    """Return the work of a report, which is done in a thread.

    Parameters
    ----------
    inputs : ReportInputs
        The inputs.

    Returns
    -------
    callable
        Function ``work(progress)`` that writes the report and returns a sentence about it. A former file stays if it is
        stopped.
    """

    def work(progress: Progress) -> str:
        from fctl_napari.map_report.files import save_report  # matplotlib, not on the window's thread
        from fctl_napari.map_report.report import make_report

        segmentation = Segmentation.open(inputs.store)
        final = find_final_map(segmentation) if inputs.final else None
        chosen = inputs.chosen
        said = "" if chosen is None else f"; compared with {chosen.name} where no points are checked"
        if chosen is not None and final is not None and _is_part(chosen, final.corrections.path):
            said = f"; {chosen.name} is part of the map, which is not compared with it"
            chosen = None
        made = make_report(
            final or segmentation,
            ground_truth=None if chosen is None else chosen.ground_truth,
            ground_truth_name="" if chosen is None else chosen.name,
            progress=progress,
        )
        save_report(made, inputs.out)
        with_corrections = "" if final is None else f", with {final.counts()['corrected']:,} corrected px"
        return f"{inputs.out}: is written{with_corrections}{said}."

    return work


def _is_part(chosen: ChosenGroundTruth, corrections: Path) -> bool:
    return chosen.path is not None and chosen.path.resolve() == corrections.resolve()
