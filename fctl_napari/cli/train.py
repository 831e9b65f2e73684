"""Training a network: ``fctl train`` and ``fctl pretrain``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from fctl_napari.cli.options import BandNamesOption, BandsOption, DeviceOption, RangeOption, stated_bands
from fctl_napari.files import local_path
from fctl_napari.segmentation.jobs.parameters import DEVICE


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(train)
    app.command()(pretrain)


ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A TOML file, or a built-in one: earth, deepglobe/fctl_vgg16, ...")
]
DataOption = Annotated[
    Path, typer.Option(metavar="DIR", help="The data set, or where the config's relative paths start.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", parser=local_path, metavar="DIR", help="Checkpoint, log and state.  [default: runs/NAME]"),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting in place of the config's; paths start here; may be repeated.",
    ),
]


def train(
    config: ConfigArgument,
    data: DataOption = Path(),
    target: OutOption = None,
    settings: SettingsOption = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    device: DeviceOption = DEVICE.default,
) -> None:
    """Train a network; the same call resumes a run that was stopped.

    Several GPUs or machines: torchrun --nproc_per_node N -m fctl_napari.cli train CONFIG ...
    """
    from fctl_napari.training.recipes import parse_overrides

    shown = {"data.value_range": value_range, "data.bands": stated_bands(bands, band_names)}
    given = {key: list(values) for key, values in shown.items() if values is not None}
    _run(config, data, target, parse_overrides(settings or (), data) | given, device)


def pretrain(
    config: ConfigArgument,
    images: Annotated[list[str], typer.Argument(metavar="IMAGES...", help="Images, folders of images and globs.")],
    data: DataOption = Path(),
    target: OutOption = None,
    settings: SettingsOption = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    device: DeviceOption = DEVICE.default,
) -> None:
    """Pretrain a network on images without ground truth, to start a training from it with init_from.

    It learns to fill in hidden patches of a tile from the rest and from its contexts.
    """
    from fctl_napari.cli.output import err
    from fctl_napari.datasets.image_list import list_images
    from fctl_napari.training.config import load_train_config
    from fctl_napari.training.recipes import parse_overrides

    found = list_images(images)
    err.print(f"{found.words()}.", highlight=False, soft_wrap=True)
    name = f"{load_train_config(config).name}-pretrained"
    shown = {"value_range": value_range, "bands": stated_bands(bands, band_names)}
    scenes = {
        "images": list(found.images),
        **{key: list(values) for key, values in shown.items() if values is not None},
    }
    given = {"name": name, "data": scenes, "stages": [], "keep": "last", "validate_every": 0}
    _run(config, data, target, given | parse_overrides(settings or (), data), device)


def _run(config: str, data: Path, target: Path | None, changes: dict[str, Any], device: str) -> None:
    """Train with changed settings, with a bar, and print the checkpoint's path."""
    from fctl_napari.cli.output import counting, err, out
    from fctl_napari.training.config import load_train_config

    chosen = load_train_config(config, changes)

    from fctl_napari.api.progress import Bar
    from fctl_napari.api.training import train as train_network
    from fctl_napari.training.distributed import is_first

    folder = target or Path("runs") / chosen.name
    if not is_first():
        from fctl_napari.training.train import train as run_training

        run_training(chosen, folder, data_folder=data, device=device)
        return
    if chosen.data.layout:
        from fctl_napari.datasets.layouts import find_data_set

        found = find_data_set(data, layout=chosen.data.layout, table=chosen.data.classes)
        err.print(found.describe(), highlight=False, soft_wrap=True)
    with counting(f"Training {chosen.name}") as report, warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: err.print(
            str(message), highlight=False, markup=False, soft_wrap=True
        )
        trained = train_network(config, data, folder, settings=changes, device=device, progress=Bar(report))
    out.print(str(trained.path), highlight=False, soft_wrap=True)
