"""Settings of the data of a training run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from fctl_napari.imagery.band_names import Bands
from fctl_napari.model.classes import ClassTable


class Settings(BaseModel):
    """Settings of a training config, of which none is unknown."""

    # numbers are coerced so that TOML's `holdout = 5` names the group "5"
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class SceneSettings(Settings):
    """One image and its ground truth.

    Attributes
    ----------
    image, truth : str
        Paths, relative to the data folder.
    group : str
        Group of the scene. Scenes of one group stay on the same side of a split.
    train, val, test : tuple of tuple of 2 int
        Longitude bands ``[x0, x1)``, px, over the full height, for a scene that is split within itself.
    """

    image: str
    truth: str
    group: str = ""
    train: tuple[tuple[int, int], ...] = ()
    val: tuple[tuple[int, int], ...] = ()
    test: tuple[tuple[int, int], ...] = ()


class DataSettings(Settings):
    """Training data: the sample scene, a data set in a known layout, or a list of scenes.

    Attributes
    ----------
    classes : ClassTable or None
        The class table, with the indices or colors of the ground truth. A data set in a known layout may have its own.
    sample : bool
        If True, use the sample scene that comes with the package, with its own split and classes.
    layout : {"", "auto", "deepglobe", "inria", "pairs", "omezarr"}
        Layout of the data folder, or ``auto`` to detect it. A data set in a known layout has its own split. See
        ``datasets.find_data_set``.
    scenes : tuple of SceneSettings
        The scenes, where there is neither ``sample`` nor ``layout``.
    holdout : str
        The held-out group, which is validated on instead of trained on (leave one group out). If empty, all groups
        are trained on.
    value_range : tuple of 2 float or None
        Values of the images that become black and white, for images of other than 8 bits.
    bands : Bands or None
        Channels of the images that are red, green and blue, counted from 0. By default the first three.
    values : dict of int to str or None
        For a list of scenes with masks of one channel, the name of the class of each value, "" for none (as 255 is
        anyway). Masks of colors are refused then. None: class k is value k, or its color.
    masks : str
        For a network that refines masks: ``roughened`` is the ground truth with a rough outline, drawn anew for each
        tile. Otherwise the folder of the segmentations to learn from, with a ``STEM.ome.zarr`` for each image.
    images : tuple of str
        Images without ground truth, in place of all others: files, addresses, folders and globs. The network is
        pretrained on them, see ``training.pretraining.reconstruction``.
    """

    classes: ClassTable | None = None
    sample: bool = False
    layout: Literal["", "auto", "deepglobe", "inria", "pairs", "omezarr"] = ""
    scenes: tuple[SceneSettings, ...] = ()
    holdout: str = ""
    value_range: tuple[float, float] | None = None
    bands: Bands | None = None
    values: dict[int, str] | None = None
    masks: str = ""
    images: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> DataSettings:
        if self.sample + bool(self.layout) + bool(self.scenes) + bool(self.images) != 1:
            raise ValueError("give either sample = true, a layout, a list of scenes, or images without ground truth")
        if self.scenes and self.classes is None:
            raise ValueError("scenes need a class table")
        if self.values is not None:
            names = () if self.classes is None or not self.scenes else self.classes.names
            unknown = sorted({name for name in self.values.values() if name and name not in names})
            if not names:
                raise ValueError("values are those of a list of scenes; state a data set's in its classes.json")
            if unknown:
                raise ValueError(f"values name {', '.join(map(repr, unknown))}, the classes are {', '.join(names)}")
        if self.holdout and self.holdout not in {s.group for s in self.scenes}:
            raise ValueError(f"no scene is of the group {self.holdout!r} that is to be held out")
        return self

    @model_serializer(mode="wrap")
    def _as_stated(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out settings that are not given, so that runs and tables of earlier versions still compare equal."""
        return {k: v for k, v in dump(self).items() if v or k not in ("value_range", "bands", "values", "images")}
