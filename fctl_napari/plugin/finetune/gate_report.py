"""Report of a candidate: figures before and after, the gate's reasons, and the buttons that decide."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

from fctl_napari.finetuning.judging.gate import GateResult
from fctl_napari.plugin.common.form_layout import button, wrapped
from fctl_napari.plugin.common.question import Question
from fctl_napari.plugin.layers.choosers import row

NAMES = {"held_out": "Held out", "scene": "Elsewhere", "training": "Training", "truth": "Truth"}
"""Short names of the gate's figures, by their keys."""

GOOD, BAD = "#2fae7d", "#e0703a"

TOOLTIPS = {
    "keep": (
        "Keep the new network as a checkpoint of its own. Nothing is overwritten. It is chosen in Segment, and its "
        "result stays."
    ),
    "roll_back": "Delete the new network and its result, and show the parent's again. Corrections stay.",
    "figures": (
        "Figures of the parent and the new network on pixels that it did not learn from: held-out corrections, "
        "elsewhere in the scene, the scenes of the parent's training, the ground truth. The probability of the painted "
        "class, which decides; mean IoU; and the share of pixels predicted as before."
    ),
    "differences": (
        "Pixels where the new network predicts another class than its parent, in the color of the new class."
    ),
}


class GateReport(QFrame):
    """Report of a candidate before and after, hidden until there is something to decide.

    Parameters
    ----------
    comparing : QWidget
        Buttons that compare the candidate's result with its parent's.
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    decision : QWidget
        The buttons Keep and Roll back, and the question before the first, which lie elsewhere in the form.
    question : Question
        The question whether to keep a candidate against the gate's advice.
    """

    def __init__(self, comparing: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title, self.figures, self.reasons, self.changed = (_text() for _ in range(4))
        self.figures.setToolTip(TOOLTIPS["figures"])
        self.changed.setToolTip(TOOLTIPS["differences"])
        self.keep = button("Keep", TOOLTIPS["keep"])
        self.roll_back = button("Roll back", TOOLTIPS["roll_back"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        for widget in (self.title, self.figures, self.reasons, self.changed, comparing):
            layout.addWidget(widget)
        self.decision = QWidget()
        self.question = Question()
        column = QVBoxLayout(self.decision)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(self.keep, self.roll_back))
        column.addWidget(self.question)
        self.hide()

    def setVisible(self, visible: bool) -> None:
        """Show or hide the report and the buttons.

        Parameters
        ----------
        visible : bool
            If True, show them.
        """
        super().setVisible(visible)
        self.decision.setVisible(visible)

    @property
    def default(self) -> QPushButton:
        """The button that the gate proposes, which Enter presses."""
        return self.keep if self.keep.isDefault() else self.roll_back

    def show_gate_result(
        self, name: str, figures: dict[str, Any], gate_result: GateResult, notes: Sequence[str] = ()
    ) -> None:
        """Show a candidate's figures and gate result, for a decision.

        Parameters
        ----------
        name : str
            Name of the candidate.
        figures : dict of str to object
            Its figures (``BeforeAfter.to_json``).
        gate_result : GateResult
            The gate result.
        notes : sequence of str, optional
            Notes of the run, shown below the gate's reasons.
        """
        words = "better: keep it" if gate_result.keep else "roll back, for what is said below"
        color = GOOD if gate_result.keep else BAD
        self.title.setText(f"<b>{html.escape(name)}</b> <span style='color: {color}'>{words}</span>")
        self.figures.setText(_table(figures))
        self.reasons.setText(
            "<br>".join(html.escape(reason).replace(" %", "&nbsp;%") for reason in [*gate_result.reasons, *notes])
        )
        self.show_changed("")
        for choice in (self.keep, self.roll_back):
            proposed = choice is (self.keep if gate_result.keep else self.roll_back)
            choice.setDefault(proposed)
            choice.setAutoDefault(True)  # Enter presses the button that has the focus
            choice.setStyleSheet(f"QPushButton {{ border: 2px solid {color}; font-weight: bold }}" if proposed else "")
        self.question.drop()
        self.set_open(True)
        self.show()
        self.default.setFocus()

    def show_changed(self, text: str) -> None:
        """Show a description of the layer of changes.

        Parameters
        ----------
        text : str
            Rich text. Empty if there is no such layer.
        """
        self.changed.setText(text)
        self.changed.setVisible(bool(text))

    def set_open(self, is_open: bool) -> None:
        """Enable or disable the buttons.

        Parameters
        ----------
        is_open : bool
            If True, it can be decided. If False, a decision is being carried out.
        """
        self.keep.setEnabled(is_open)
        self.roll_back.setEnabled(is_open)


def _table(figures: dict[str, Any]) -> str:
    """Return the figures as a table, in rich text."""
    lines = []
    if "gain" in figures:  # not in cards of earlier versions
        lines.append(_row("Probability", figures["gain"]["before"], figures["gain"]["after"]))
    for part, name in NAMES.items():
        before, after = (figures[side].get(part, {}) for side in ("before", "after"))
        if before or after:
            lines.append(_row(name, before.get("miou"), after.get("miou"), after.get("agreement")))
    head = "<tr style='color: gray'><td></td><td>mIoU</td><td></td><td align='right'>same</td></tr>"
    return f"<table cellspacing='1'>{head}{''.join(lines)}</table>"


def _row(name: str, before: float | None, after: float | None, agreement: float | None = None) -> str:
    """Return a row of the table."""
    values, same = "<td></td><td></td>", "<td></td>"
    if before is not None and after is not None:
        color = GOOD if after > before else BAD if after < before else "gray"
        values = f"<td>{before:.3f}→{after:.3f}</td><td style='color: {color}'>{after - before:+.3f}</td>"
    if agreement is not None:
        same = f"<td align='right'>{100 * agreement:.1f}&nbsp;%</td>"
    return f"<tr><td>{name}&nbsp;</td>{values}{same}</tr>"


def _text() -> QLabel:
    """Return a label for rich text."""
    label = wrapped()
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
