"""The tree of checkpoints: their parents, and how much each fine-tuning changed."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from fctl_napari.errors import InputError
from fctl_napari.finetuning.lineage import Kin, lineage
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.form_layout import button
from fctl_napari.plugin.common.notify import report
from fctl_napari.progress import Progress

WAITS = ".candidate.safetensors"

TOOLTIPS = {
    "tree": (
        "Checkpoints beside the image, and their parents. Held out: mean IoU on corrections that were not learned "
        "from, of the parent and of this one. As before: the share of pixels away from corrections that are "
        "predicted as by the parent. Bold: the chosen checkpoint."
    ),
    "use": "Choose this checkpoint here and in the tab Segment, whose result is then shown.",
}


class LineagePage(QWidget):
    """Families of checkpoints in a folder.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    wanted : Signal(str)
        A checkpoint is to be used; carries a built-in one's name, or a file.
    """

    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs = Jobs(self)
        self.use = button("Use this one", TOOLTIPS["use"])
        self.use.clicked.connect(self._use)
        self.tree = QTreeWidget()
        self.tree.setToolTip(TOOLTIPS["tree"])
        self.tree.setHeaderLabels(["Checkpoint", "Held out", "As before"])
        self.tree.setMinimumHeight(180)
        header = self.tree.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setStretchLastSection(False)
        self.tree.currentItemChanged.connect(self._chosen)
        self.tree.itemDoubleClicked.connect(lambda _item, _column: self.use.click())
        self.story = QLabel()
        self.story.setWordWrap(True)
        self.story.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        for widget in (self.tree, self.story, self.use):
            layout.addWidget(widget)
        self._chosen()

    @property
    def running(self) -> bool:
        """True while files are being read."""
        return self._jobs.running

    def show_folder(self, folder: Path | None, checkpoint: str | None) -> None:
        """Show the families in a folder, and that of a checkpoint.

        Parameters
        ----------
        folder : Path or None
            The folder. None if there is none.
        checkpoint : str or None
            A built-in name or a file. It is shown in bold.
        """

        def work(_progress: Progress) -> list[Kin]:
            families: list[Kin] = []
            for location in (folder, checkpoint):
                if location is None:
                    continue
                try:
                    found = lineage(location)
                except InputError:  # there are no checkpoints (yet)
                    continue
                families += [each for each in found if each.hash not in {one.hash for one in families}]
            return sorted(families, key=lambda kin: kin.name)

        self._jobs.begin(work, lambda families: self._show(families, checkpoint), report)

    def leave(self) -> None:
        """Stop reading files."""
        self._jobs.drop()

    def _show(self, families: list[Kin], checkpoint: str | None) -> None:
        """Fill the tree."""
        self.tree.clear()
        for eldest in families:
            self.tree.addTopLevelItem(self._item(eldest, checkpoint))
        self.tree.expandAll()
        self._chosen()

    def _item(self, kin: Kin, checkpoint: str | None) -> QTreeWidgetItem:
        """Return the item of a checkpoint, with its children."""
        waits = kin.path is not None and kin.path.name.endswith(WAITS)
        name = f"{kin.name} (waits)" if waits else kin.name if kin.path is not None else f"{kin.name} (gone)"
        item = QTreeWidgetItem([name, *_figures(kin)])
        location = _location(kin)
        item.setData(0, Qt.ItemDataRole.UserRole, None if waits else location)
        words = [str(kin.path) if kin.path is not None else "its file is gone", kin.story()]
        item.setData(1, Qt.ItemDataRole.UserRole, "\n".join(word for word in words if word))
        for column in range(3):
            item.setToolTip(column, item.data(1, Qt.ItemDataRole.UserRole))
            font = item.font(column)
            font.setBold(location is not None and location == checkpoint)
            item.setFont(column, font)
        for child in kin.children:
            item.addChild(self._item(child, checkpoint))
        return item

    def _chosen(self, *_: object) -> None:
        """Show the description of the checkpoint that is selected."""
        item = self.tree.currentItem()
        self.story.setText("" if item is None else item.data(1, Qt.ItemDataRole.UserRole))
        self.use.setEnabled(item is not None and item.data(0, Qt.ItemDataRole.UserRole) is not None)

    def _use(self) -> None:
        """Emit ``wanted`` for the checkpoint that is selected."""
        item = self.tree.currentItem()
        if item is not None and item.data(0, Qt.ItemDataRole.UserRole) is not None:
            self.wanted.emit(item.data(0, Qt.ItemDataRole.UserRole))


def _location(kin: Kin) -> str | None:
    """Return a built-in checkpoint's name, or else the file."""
    if kin.path is None:
        return None
    names = {path: name for name, path in builtin_checkpoints().items()}
    return names.get(kin.path, str(kin.path))


def _figures(kin: Kin) -> tuple[str, str]:
    """Return the figures of a fine-tuning as the tree shows them."""
    record = kin.card.figures.get("finetuning") if kin.card is not None else None
    if not record:
        return "", ""
    before, after = (record[side].get("held_out", {}).get("miou") for side in ("before", "after"))
    held_out = "" if before is None or after is None else f"{before:.3f} → {after:.3f}"
    same = record["after"].get("scene", {}).get("agreement")
    return held_out, "" if same is None else f"{100 * same:.1f} %"
