"""Panel of the ablation notebooks: rows to train, the table as it grows, masks and maps of a row."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ipywidgets import (
    HTML,
    BoundedIntText,
    Button,
    Checkbox,
    Dropdown,
    HBox,
    Image,
    IntProgress,
    Layout,
    VBox,
)

from fctl_napari.ablation.bands import table_name
from fctl_napari.ablation.plan import RESULTS, AblationRequest
from fctl_napari.ablation.report import PAPERS, TITLES, studies, with_spread
from fctl_napari.ablation.results import Result, read_results
from fctl_napari.ablation.tables import AblationRow
from fctl_napari.exceptions import FctlError
from fctl_napari.notebook.ablation_job import AblationJob
from fctl_napari.notebook.ablation_pictures import measured_scene, row_pictures

COLUMNS = (*(f"{name} (paper)" for name in PAPERS.values()), "here", "over the first row", "reliance", "runs")
GRID = (
    f"display: grid; grid-template-columns: repeat({len(COLUMNS)}, 6em); gap: 0.5em; text-align: right; "
    "line-height: 1.3"
)
TICK, NAME, SPACE = ({"width": width, "flex": f"0 0 {width}"} for width in ("1.5em", "15em", "17em"))
"""Layouts of the columns with ticks and names of the rows, and of both together."""

WIDTHS = ("35%", "65%")
"""Shares of the width that masks and maps have side by side."""


class AblationPanel(VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Panel on the paper's tables.

    Rows are chosen and trained, beside the cells of the notebook. The table fills as rows are finished. The button with
    a row's name shows its masks and maps.

    Parameters
    ----------
    request : AblationRequest
        Tables, data and budget. Contexts, seeds and steps are what the panel offers at first. ``minutes`` is left out.
    pixel : tuple of 2 float or None, optional
        (y, x) px of the first measured scene, whose tile is shown. None is the middle of what is measured there.

    Attributes
    ----------
    job : AblationJob
        The run.
    chosen : dict of str to Checkbox
        Whether a row is trained, by its name.
    names : dict of str to Button
        Buttons that show a row, by its name.
    figures : dict of str to HTML
        Figures of a row, by its name.
    contexts : Dropdown
        The paper's data set whose context sizes are taken.
    seeds : BoundedIntText
        Number of runs of each row.
    steps : BoundedIntText
        Number of optimizer steps of each run.
    run : Button
        Button that starts the run, and stops it.
    pictures : HBox
        Masks and maps of the row that was clicked last.
    problem : HTML
        The last error.

    Raises
    ------
    InputError
        The data cannot be used, or nothing is held out to be measured.
    """

    def __init__(self, request: AblationRequest, pixel: tuple[float, float] | None = None) -> None:
        self._request = replace(request, minutes=None)
        self._table = request.out / RESULTS
        self._scene = measured_scene(request)
        y0, x0, y1, x1 = (self._scene.test or self._scene.val)[0]
        self._pixel = ((y0 + y1) // 2, (x0 + x1) // 2) if pixel is None else pixel
        self._wanted = ""
        self._drawing = threading.Lock()
        self.job = AblationJob(self._show_job)
        self.chosen: dict[str, Checkbox] = {}
        self.names: dict[str, Button] = {}
        self.figures: dict[str, HTML] = {}

        sets = [(name, key) for key, name in PAPERS.items()]
        self.contexts = Dropdown(options=sets, value=request.contexts, description="contexts as on")
        self.contexts.style.description_width = "8em"
        self.seeds = BoundedIntText(request.seeds, min=1, max=99, description="seeds")
        self.steps = BoundedIntText(
            request.steps or request.recipe.steps or 100, min=1, max=10**7, description="steps of each run"
        )
        self.steps.style.description_width = "9em"
        for field in (self.seeds, self.steps):
            field.layout.width = "14em"
        self.run = Button(tooltip="Train and measure what the table does not have yet; what is done is kept")
        self._bar = IntProgress(layout=Layout(width="16em"))
        self._note, self.problem = HTML(), HTML()
        self._rows, self.pictures = VBox(), HBox(layout=Layout(align_items="flex-start"))
        self.run.on_click(lambda _: self.job.stop() if self.job.running else self.start())
        self.contexts.observe(lambda _: self._list_rows(), "value")
        self.steps.observe(lambda _: self.refresh(), "value")
        self._list_rows()
        self._show_job()
        settings = HBox([self.contexts, self.seeds, self.steps], layout=Layout(flex_flow="row wrap"))
        buttons = HBox([self.run, self._bar, self._note], layout=Layout(flex_flow="row wrap"))
        super().__init__([settings, buttons, self.problem, self._rows, self.pictures])

    @property
    def request(self) -> AblationRequest:
        """The request as the panel stands."""
        return replace(
            self._request,
            contexts=self.contexts.value,
            seeds=self.seeds.value,
            steps=self.steps.value,
            only=tuple(name for name, box in self.chosen.items() if box.value),
        )

    def start(self) -> None:
        """Train the chosen rows, in the background."""
        if not self.request.only:
            self._say("no row is chosen; tick one.")
            return
        self._say("")
        self.job.start(self.request)

    def show_row(self, name: str) -> None:
        """Show the masks and maps of a row, in the background.

        Parameters
        ----------
        name : str
            Name of the row.
        """
        self._wanted = name
        for each, button in self.names.items():
            button.button_style = "info" if each == name else ""
        threading.Thread(target=self._draw, args=(name,), name="fctl-ablation-row", daemon=True).start()

    def refresh(self) -> None:
        """Show the figures that the table holds by now."""
        found: dict[str, str] = {}
        for study in studies(self._results()):
            for entry, over in zip(study.entries, study.over_first(), strict=True):
                found[entry.row.name] = _cells(
                    entry.row,
                    with_spread(entry.mean, entry.spread),
                    "" if over is None else with_spread(over.mean, over.spread, signed=True),
                    f"{entry.reliance:.1f} %",
                    str(len(entry.scores)),
                )
        for row in self._listed:
            self.figures[row.name].value = found.get(row.name) or _cells(row, "", "", "", "")

    def _list_rows(self) -> None:
        """List the rows of the tables that belong to the chosen contexts."""
        kept = {name: box.value for name, box in self.chosen.items()}
        try:
            self._listed = replace(self._request, contexts=self.contexts.value).rows()
        except FctlError as error:
            self._say(str(error))
            return
        self.chosen = {row.name: Checkbox(kept.get(row.name, True), indent=False, layout=TICK) for row in self._listed}
        self.names = {row.name: Button(description=row.label, layout=NAME, tooltip=row.name) for row in self._listed}
        self.figures = {row.name: HTML() for row in self._listed}
        for name, button in self.names.items():
            button.on_click(lambda _, name=name: self.show_row(name))
        lines: list[Any] = []
        table = None
        for row in self._listed:
            if row.table != table:
                table = row.table
                title = HTML(f"<b>{html.escape(table_name(table))}: {html.escape(TITLES[table])}</b>")
                space = HTML(layout=SPACE)
                lines += [title, HBox([space, HTML(_grid(COLUMNS))])]
            cells = [self.chosen[row.name], self.names[row.name], self.figures[row.name]]
            lines.append(HBox(cells, layout=Layout(align_items="center")))
        self._rows.children = lines
        self.refresh()

    def _results(self) -> list[Result]:
        """Read the results that belong to what the panel stands at."""
        request = self.request
        rows = {row.name for row in self._listed}
        return [
            result
            for result in read_results(self._table)
            if result.row in rows
            and (result.contexts, result.steps, result.data) == (request.contexts, request.steps, request.recipe.name)
            and bool(result.frozen) == (request.frozen_encoders is not None)
        ]

    def _show_job(self) -> None:
        """Show how far the run is, and the rows that are finished."""
        job = self.job
        self.run.description, self.run.icon = ("Stop", "stop") if job.running else ("Run", "play")
        self._bar.max, self._bar.value = job.total, job.done
        self._bar.layout.visibility = "visible" if job.running else "hidden"
        self._note.value = html.escape(job.note)
        if job.error is not None:
            self._say(str(job.error))
        self.refresh()

    def _draw(self, name: str) -> None:
        """Draw a row, unless another one was clicked in the meantime."""
        with self._drawing:
            if name != self._wanted:
                return
            of_row = {result.seed: result for result in self._results() if result.row == name}
            self._say("")
            if not of_row:
                self.pictures.children = []
                self._say(f"{name} is not trained yet; tick it and run.")
                return
            self.pictures.children = [HTML("It is being drawn.")]
            try:
                found = row_pictures(self._table, [of_row[seed] for seed in sorted(of_row)], self._scene, self._pixel)
            except FctlError as error:
                self.pictures.children = []
                self._say(str(error))
                return
            self.pictures.children = [
                Image(value=value, format="png", layout=Layout(max_width=width))
                for value, width in zip(found, WIDTHS, strict=True)
            ]

    def _say(self, problem: str) -> None:
        """Show an error, or none."""
        self.problem.value = f'<span style="color: #b00020">{html.escape(problem)}</span>' if problem else ""


def _cells(row: AblationRow, *figures: str) -> str:
    """Return the figures of a row, the paper's first, as HTML."""
    paper = [f"{row.paper[key]:.2f}" if key in row.paper else "" for key in PAPERS]
    return _grid([*paper, *figures])


def _grid(cells: Sequence[str]) -> str:
    return f'<div style="{GRID}">{"".join(f"<span>{html.escape(cell)}</span>" for cell in cells)}</div>'
