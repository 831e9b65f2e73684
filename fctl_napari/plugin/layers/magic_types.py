"""Fields for our classes in forms that magicgui makes of functions.

Importing this module registers them. ``magicgui(fctl.segment)`` is then a form, and so is a function of others that
takes a ``fctl.Checkpoint``, say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Optional, Union, get_args

from magicgui import register_type
from magicgui.application import use_app
from magicgui.types import FileDialogMode, Undefined
from magicgui.widgets import CheckBox, ComboBox, LineEdit, PushButton
from magicgui.widgets.bases import ValuedContainerWidget
from napari.layers import Image as ImageLayer
from napari.utils._magicgui import find_viewer_ancestor

from fctl_napari.api.checkpoints import Checkpoint, CheckpointLike, load_checkpoint
from fctl_napari.api.explaining import Explanation
from fctl_napari.api.ground_truths import GroundTruthLike
from fctl_napari.api.image import Image
from fctl_napari.api.maps import Map
from fctl_napari.api.measuring import Errors, Figures, MapLike
from fctl_napari.api.opening import ImageLike, as_image
from fctl_napari.api.progress import Shown
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.model_card import builtin_checkpoints
from fctl_napari.plugin.common.last_choices import recent_checkpoints
from fctl_napari.plugin.common.notify import show_causes
from fctl_napari.plugin.layers.array_image import array_image
from fctl_napari.plugin.layers.choosers import keep_narrow
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY, image_source
from fctl_napari.plugin.layers.magic_results import show_explanation, show_figures, show_map
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.windows import IntWindow, Window, require_window

Choice = tuple[str, Any]
"""Name for people, and what is chosen by it."""


class KnownOrFile(ValuedContainerWidget[Any]):
    """A box of what is known, with a button that adds a file or folder to it.

    Subclasses say what is known, and what a choice means.

    Parameters
    ----------
    value : object, optional
        What is chosen first.
    nullable : bool, optional
        If True, nothing may be chosen.
    **kwargs : object
        See ``ValuedContainerWidget``.
    """

    mode = FileDialogMode.EXISTING_FILE
    filter: str | None = None
    tip = ""
    asks = False  # if True, nothing is chosen until the user chooses

    def __init__(self, value: Any = Undefined, nullable: bool = False, **kwargs: Any) -> None:
        self._added: list[Choice] = []
        self._box = ComboBox(nullable=nullable or self.asks)
        self._button = PushButton(text="…")
        self._button.max_width = 36
        self._button.tooltip = f"Choose a {'folder' if self.mode is FileDialogMode.EXISTING_DIRECTORY else 'file'}."
        keep_narrow(self._box.native, self.tip)
        kwargs |= {"widgets": [self._box, self._button], "labels": False, "layout": "horizontal"}
        super().__init__(nullable=nullable, **kwargs)
        self.margins = (0, 0, 0, 0)
        self._box.choices = self._choices
        if value is not Undefined:
            self.value = value
        self._button.changed.connect(self._browse)
        self._box.changed.connect(lambda: self.changed.emit(self.value))

    def known(self) -> Iterable[Choice]:
        """Return what can be chosen without a file.

        Returns
        -------
        iterable of (str, object)
            Names and choices.
        """
        return ()

    def meaning(self, choice: Any) -> Any:
        """Return the value that a choice means.

        Parameters
        ----------
        choice : object
            What is chosen: one of :meth:`known`, or the path of a file.

        Returns
        -------
        object
            The value.
        """
        return choice

    def get_value(self) -> Any:
        """Return the value of what is chosen.

        Returns
        -------
        object
            The value, or None.
        """
        choice = self._box.value
        return None if choice is None else self.meaning(choice)

    def set_value(self, value: Any) -> None:
        """Choose something.

        Parameters
        ----------
        value : object
            One of :meth:`known`, or anything else that the function takes, which is added to the box.
        """
        chosen = next((choice for choice in self._box.choices if _same(choice, value)), None)
        if chosen is None and value is not None:
            self._added.append((Path(value).name if isinstance(value, str | Path) else str(value)[:60], value))
            self._box.reset_choices()
        self._box.value = value if chosen is None else chosen

    @property
    def viewer(self) -> Any:
        """Viewer in which the form is docked, or None."""
        return find_viewer_ancestor(self.native)

    def _choices(self, _box: Any) -> list[Choice]:
        return [*self.known(), *self._added]

    def _browse(self) -> None:
        found = use_app().get_obj("show_file_dialog")(self.mode, caption=self.tip, filter=self.filter)
        if found:
            self.value = str(found)


def _same(choice: Any, value: Any) -> bool:
    """Return whether a choice is a value. Arrays are compared by what they are, not by their px."""
    paths = isinstance(choice, str | Path) and isinstance(value, str | Path)
    return choice is value or (paths and str(choice) == str(value))


class CheckpointEdit(KnownOrFile):
    """A checkpoint: a built-in one, one that was used lately, or a file."""

    filter = "*.safetensors"
    tip = "The trained network."

    def known(self) -> Iterable[Choice]:
        """Return built-in checkpoints and those used lately.

        Returns
        -------
        iterable of (str, object)
            Names, and names or paths.
        """
        recent = [str(path) for path in recent_checkpoints()]
        return [*((name, name) for name in builtin_checkpoints()), *((Path(one).stem, one) for one in recent)]


class OpenCheckpointEdit(CheckpointEdit):
    """A checkpoint, opened."""

    def meaning(self, choice: Any) -> Checkpoint:
        """Return the checkpoint of a choice.

        Parameters
        ----------
        choice : object
            Name, path or checkpoint.

        Returns
        -------
        Checkpoint
            The checkpoint.
        """
        return load_checkpoint(choice)


class ClassTableEdit(CheckpointEdit):
    """A class table: that of a checkpoint, of a file, or one that has a name."""

    tip = "The checkpoint, the file or the data set (loveda, say) whose classes are taken."

    def meaning(self, choice: Any) -> ClassTable:
        """Return the classes of a choice.

        Parameters
        ----------
        choice : object
            Name or path of a checkpoint or of a class table, see ``class_tables.class_table``, or a class table.

        Returns
        -------
        ClassTable
            The classes.
        """
        return choice if isinstance(choice, ClassTable) else class_table(str(choice))


class ImageEdit(KnownOrFile):
    """An image: a layer of the viewer, or a file."""

    tip = "The image."

    @property
    def layer(self) -> ImageLayer | None:
        """Layer that is chosen, or None."""
        choice = self._box.value
        return choice if isinstance(choice, ImageLayer) else None

    def known(self) -> Iterable[Choice]:
        """Return the image layers of the viewer.

        Returns
        -------
        iterable of (str, object)
            Names and layers.
        """
        layers = () if self.viewer is None else self.viewer.layers
        return [(one.name, one) for one in layers if isinstance(one, ImageLayer) and OVERLAY_KEY not in one.metadata]

    def meaning(self, choice: Any) -> Any:
        """Return the image of a choice.

        Parameters
        ----------
        choice : object
            A layer; or anything that ``fctl.open`` takes.

        Returns
        -------
        object
            The image that the layer shows, or the choice.
        """
        if not isinstance(choice, ImageLayer):
            return choice
        source = image_source(choice)
        if source is None:
            return Image(array_image(choice))
        return Image(source.open(), value_range=source.value_range, bands=source.bands)


class OpenImageEdit(ImageEdit):
    """An image, opened."""

    def meaning(self, choice: Any) -> Image:
        """Return the image of a choice.

        Parameters
        ----------
        choice : object
            A layer, or anything that ``fctl.open`` takes.

        Returns
        -------
        Image
            The image.
        """
        return as_image(super().meaning(choice))


class MapEdit(KnownOrFile):
    """A map: a segmentation that the viewer shows, or a folder."""

    mode = FileDialogMode.EXISTING_DIRECTORY
    tip = "The map."

    def known(self) -> Iterable[Choice]:
        """Return the segmentations of the viewer.

        Returns
        -------
        iterable of (str, object)
            Names of layers, and paths.
        """
        layers = () if self.viewer is None else self.viewer.layers
        paths = {str(one.metadata[STORE_KEY]): one.name for one in layers if STORE_KEY in one.metadata}
        return [(name, path) for path, name in paths.items()]


class OpenMapEdit(MapEdit):
    """A map, opened."""

    def meaning(self, choice: Any) -> Map:
        """Return the map of a choice.

        Parameters
        ----------
        choice : object
            Path or map.

        Returns
        -------
        Map
            The map.
        """
        return choice if isinstance(choice, Map) else Map(choice)


class FileOrMapEdit(MapEdit):
    """A map that the viewer shows, or a file: a ground truth, say."""

    mode = FileDialogMode.EXISTING_FILE
    tip = "A file, or a map that the viewer shows."
    asks = True  # the first map is the one that is compared with it


class RegionEdit(LineEdit):
    """A region as four numbers: y0 x0 y1 x1, px, half open. Nothing is the whole image.

    Parameters
    ----------
    value : sequence of 4 int or None, optional
        The region.
    nullable : bool, optional
        If True, the region may be left out.
    **kwargs : object
        See ``LineEdit``.
    """

    def __init__(self, value: Any = None, nullable: bool = True, **kwargs: Any) -> None:
        kwargs["tooltip"] = kwargs.get("tooltip") or "y0 x0 y1 x1, px, half open. Nothing: the whole image."
        super().__init__(value="", nullable=nullable, **kwargs)
        self.set_value(value)

    def get_value(self) -> Window | None:  # type: ignore[override]
        """Return the region.

        Returns
        -------
        Window or None
            The region. None for the whole image.

        Raises
        ------
        InputError
            These are not four whole numbers, or they hold no px.
        """
        words = re.sub(r"[()\[\],]", " ", str(super().get_value())).split()
        numbers = [int(word) if word.lstrip("-").isdecimal() else word for word in words]
        return require_window(numbers) if numbers else None

    def set_value(self, value: Any) -> None:
        """Show a region.

        Parameters
        ----------
        value : sequence of 4 int or None
            The region.
        """
        super().set_value("" if value is None or value is Undefined else " ".join(map(str, value)))


def _register(kind: Any, field: Callable[..., Any], **options: Any) -> None:
    """Register a field of a kind of argument, and of the same kind where it may be left out."""
    for one in (kind, Optional[kind]):  # noqa: UP045 (made of what is known here only)
        register_type(one, widget_type=field, nullable=one is not kind, **options)  # type: ignore[call-overload]


_image, _ground_truth = get_args(ImageLike)[0], get_args(GroundTruthLike)[0]
_register(Checkpoint, OpenCheckpointEdit)
_register(CheckpointLike, CheckpointEdit)
_register(ClassTable, ClassTableEdit)
_register(Union[ClassTable, Checkpoint, Map, str, Path], ClassTableEdit)  # noqa: UP007 (as magicgui compares it)
_register(Image, OpenImageEdit)
_register(_image, ImageEdit)
_register(_image | Map, ImageEdit)
_register(Map, OpenMapEdit, return_callback=show_map)
_register(MapLike, MapEdit)
_register(Map | Corrections | Path | str, MapEdit)
_register(_ground_truth, FileOrMapEdit)
_register(Window, RegionEdit)
_register(Window | IntWindow, RegionEdit)
_register(Shown, CheckBox)
for _measured in (Figures, Errors):
    register_type(_measured, return_callback=show_figures)
register_type(Explanation, return_callback=show_explanation)
show_causes()
