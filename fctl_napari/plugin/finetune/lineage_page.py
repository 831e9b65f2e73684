"""The tree of checkpoints: their parents, and how much each fine-tuning changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from fctl_napari.exceptions import InputError
from fctl_napari.finetuning.checkpoint_files import delete_checkpoint, rename_checkpoint
from fctl_napari.finetuning.lineage import Kin, lineage
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.form_layout import button
from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.common.question import Question
from fctl_napari.plugin.layers.choosers import row, tool
from fctl_napari.progress import Progress

TOOLTIPS = {
    "tree": (
        "Checkpoints beside the image, and their parents. Held out: mean IoU on corrections that were not learned "
        "from, of the parent and of this one. As before: the share of pixels away from corrections that are "
        "predicted as by the parent. Bold: the chosen checkpoint. \u26a0: kept against the gate."
    ),
    "use": "Choose this checkpoint here and in the tab Segment, whose result is then shown.",
    "rename": "Give the checkpoint's file another name. Its content, and so what was made with it, stays.",
    "delete": "Delete the checkpoint's file. Its results and what was fine-tuned from it stay.",
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
    moved : Signal(str, str)
        A checkpoint's file was renamed or deleted; carries its former path, and the new one or an empty text.
    """

    wanted = Signal(str)
    moved = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs, self._moving = Jobs(self), Jobs(self)
        self.use = button("Use this one", TOOLTIPS["use"])
        self.use.clicked.connect(self._use)
        self.rename = tool("Rename…", TOOLTIPS["rename"])
        self.rename.clicked.connect(self._ask_name)
        self.delete = tool("Delete…", TOOLTIPS["delete"])
        self.delete.clicked.connect(self._ask_delete)
        self.question = Question()
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
        layout.addWidget(self.tree)
        layout.addWidget(self.story)
        layout.addLayout(row(self.use, self.rename, self.delete))
        layout.addWidget(self.question)
        self._chosen()

    @property
    def running(self) -> bool:
        """True while files are being read, renamed or deleted."""
        return self._jobs.running or self._moving.running

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
        self._moving.drop()

    def _show(self, families: list[Kin], checkpoint: str | None) -> None:
        """Fill the tree."""
        self.tree.clear()
        for eldest in families:
            self.tree.addTopLevelItem(self._item(eldest, checkpoint))
        self.tree.expandAll()
        self._chosen()

    def _item(self, kin: Kin, checkpoint: str | None) -> QTreeWidgetItem:
        """Return the item of a checkpoint, with its children."""
        item = QTreeWidgetItem([_title(kin), *_figures(kin)])
        location = _location(kin)
        item.setData(0, Qt.ItemDataRole.UserRole, None if kin.waits else location)
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
        self.question.drop()
        chosen = self._checkpoint
        self.use.setEnabled(chosen is not None)
        for change in (self.rename, self.delete):
            change.setEnabled(chosen is not None and chosen not in builtin_checkpoints())

    @property
    def _checkpoint(self) -> str | None:
        """Built-in name or file of the checkpoint that is selected, if it can be used."""
        item = self.tree.currentItem()
        return None if item is None else item.data(0, Qt.ItemDataRole.UserRole)

    def _use(self) -> None:
        """Emit ``wanted`` for the checkpoint that is selected."""
        if (chosen := self._checkpoint) is not None:
            self.wanted.emit(chosen)

    def _ask_name(self) -> None:
        """Ask for the new name of the checkpoint that is selected."""
        if (chosen := self._checkpoint) is not None:
            name = Path(chosen).stem
            self.question.ask(
                f"New name of {name}:", "Rename", lambda text: self._move(chosen, partial(_renamed, text)), text=name
            )

    def _ask_delete(self) -> None:
        """Ask whether the checkpoint that is selected is to be deleted."""
        if (chosen := self._checkpoint) is not None:
            self.question.ask(
                f"Delete {chosen}? Nobody can use this network then, and it does not come back. Its results, and what "
                "was fine-tuned from it, stay.",
                "Delete it",
                lambda _text: self._move(chosen, _deleted),
            )

    def _move(self, checkpoint: str, move: Callable[[str], str]) -> None:
        """Rename or delete a checkpoint's file in a thread."""
        self._moving.begin(
            lambda _progress: move(checkpoint), lambda path: self.moved.emit(checkpoint, path), self._failed
        )

    def _failed(self, error: BaseException) -> None:
        """Show why a file stays as it is."""
        report(error, self)


def _renamed(name: str, checkpoint: str) -> str:
    """Rename a checkpoint's file, and return its new path."""
    return str(rename_checkpoint(checkpoint, name))


def _deleted(checkpoint: str) -> str:
    """Delete a checkpoint's file, and return that nothing is left."""
    delete_checkpoint(checkpoint)
    return ""


def _title(kin: Kin) -> str:
    """Return what the tree says of a checkpoint, its mark first, as long names are cut."""
    if kin.path is None:
        return f"{kin.name} (gone)"
    if kin.waits:
        return f"{kin.name} (waits)"
    return f"\u26a0 {kin.name}" if kin.against_gate else kin.name


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
