"""Networks, their costs and their files: ``fctl model table``, ``info``, ``onnx``, ``folder``, ``import``, ..."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.model_list import model_list
from fctl_napari.cli.model_wrap import model_wrap
from fctl_napari.cli.options import (
    DeviceOption,
    PrecisionOption,
)
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION, Precision

TABLE_1 = (
    *("unet", "icnet", "pspnet", "deeplabv3plus", "segnet", "fcn8s", "segformer_b2", "segformer_b5"),
    *("glnet", "refiner", "lcc_released", "fctl_vgg16", "fctl_mit_b2", "fctl_mit_b5"),
)
"""The networks of the paper's Table 1 that are here; the refiner stands for CascadePSP, which is slow without a GPU."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    model_app = typer.Typer(no_args_is_help=True, help="Networks, what they cost, and their files.")
    model_app.command("list")(model_list)
    model_app.command()(table)
    model_app.command("info")(model_info)
    model_app.command("onnx")(model_onnx)
    model_app.command("folder")(model_folder)
    model_app.command("import")(model_import)
    model_app.command("wrap")(model_wrap)
    app.add_typer(model_app, name="model")


def table(
    presets: Annotated[
        list[str] | None, typer.Argument(metavar="PRESET...", help="Which.  [default: those of Table 1]")
    ] = None,
    size: Annotated[tuple[int, int], typer.Option(metavar="H W", min=1, help="The image, px.")] = (2448, 2448),
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 7,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs; the median counts.")] = 3,
    device: DeviceOption = DEVICE.default,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the networks.")] = PRECISION.default,
    target: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The figures too.")] = None,
) -> None:
    """Compare parameters, FLOPs, memory and seconds per image, tile by tile and fed the whole image."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.cli.tables import show_image_costs
    from fctl_napari.model.presets import preset

    configs = {}
    for name in presets or TABLE_1:
        configs[name, "local"] = preset(name, classes=classes)
        if not (configs[name, "local"].contexts or configs[name, "local"].refines):
            configs[name, "global"] = preset(name, classes=classes, inference="global")

    from fctl_napari.evaluation.image_cost import image_cost

    costs = {}
    with counting("Running some tiles") as report:
        for number, (row, config) in enumerate(configs.items()):
            report(number, len(configs), ", ".join(row))
            costs[row] = image_cost(config, size, device=device, precision=precision, runs=runs)
        report(len(configs), len(configs))
    show_image_costs(costs, size)
    if target is not None:
        import json
        from dataclasses import asdict

        from fctl_napari.files import atomic_write

        rows = [{"preset": name, "inference": inference, **asdict(cost)} for (name, inference), cost in costs.items()]
        with atomic_write(target) as file:
            file.write(json.dumps(rows, indent=1).encode())
        out.print(str(target), highlight=False, soft_wrap=True)


def model_info(
    name: Annotated[str, typer.Argument(metavar="PRESET", help="fctl_lite, fctl_vgg16, lcc_released, unet, ...")],
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 7,
    whole: Annotated[
        bool, typer.Option("--global", help="Fed the whole image, resampled to a tile (networks without contexts).")
    ] = False,
    device: DeviceOption = DEVICE.default,
    precision: PrecisionOption = PRECISION.default,
) -> None:
    """Count parameters and FLOPs by part, and measure memory and seconds per tile on this device."""
    from fctl_napari.cli.output import err
    from fctl_napari.cli.tables import show_cost
    from fctl_napari.model.presets import preset

    config = preset(name, classes=classes, inference="global" if whole else "local")

    from fctl_napari.evaluation.cost import count_flops, count_parameters, measure_speed

    with err.status("Running some tiles"):
        show_cost(
            config,
            count_parameters(config),
            count_flops(config, savings=False),
            count_flops(config, shared_contexts=True),
            measure_speed(config, device=device, precision=precision, savings=False),
            measure_speed(config, device=device, precision=precision),
        )


def model_onnx(
    checkpoint: Annotated[str, typer.Argument(metavar="earth|aerial|FILE", help="A built-in checkpoint or a file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    deepness: Annotated[
        bool, typer.Option("--deepness", help="For the QGIS plugin Deepness (networks without contexts).")
    ] = False,
) -> None:
    """Write a checkpoint as an ONNX file: one tile with its contexts, for programs without torch."""
    from fctl_napari.cli.output import err, out
    from fctl_napari.model.model_card import resolve_checkpoint
    from fctl_napari.model.onnx_export import export_onnx

    with err.status("Exporting"):
        written = export_onnx(resolve_checkpoint(checkpoint), target, deepness=deepness)
    out.print(str(written), highlight=False, soft_wrap=True)


def model_folder(
    checkpoint: Annotated[str, typer.Argument(metavar="earth|aerial|FILE", help="A built-in checkpoint or a file.")],
    target: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The folder to write, a new one.")],
) -> None:
    """Write a checkpoint as a folder to be shared: weights, settings and README; transformers loads a SegFormer's."""
    from fctl_napari.cli.output import err, out
    from fctl_napari.model.folders.write import export_folder
    from fctl_napari.model.model_card import resolve_checkpoint

    with err.status("Writing"):
        written = export_folder(resolve_checkpoint(checkpoint), target)
    out.print(str(written), highlight=False, soft_wrap=True)


def model_import(
    source: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="A network from elsewhere.")],
    target: Annotated[Path, typer.Option("--out", metavar="NEW.safetensors", help="The checkpoint to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the network.  [default: that of the file]")] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            help="Classes of a network that states none: QGIS style, CSV, JSON, a data set or a checkpoint.",
        ),
    ] = None,
    tile_size: Annotated[
        int | None, typer.Option(min=32, help="Tiles of a network that states none, px.  [default: 512]")
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="NET.toml", help="Of an ONNX file: classes, px size, normalization, ... of the network."),
    ] = None,
) -> None:
    """Make a checkpoint of a network from elsewhere; no code that comes with it is run.

    That is a folder of fctl model folder, transformers or segmentation_models.pytorch, a state dict of the latter, or
    an ONNX file.
    """
    from fctl_napari.cli.output import err, out
    from fctl_napari.datasets.class_tables import class_table
    from fctl_napari.model.folders.imported import import_network

    table = None if classes is None else class_table(classes)
    with err.status("Importing"):
        written = import_network(source, target, name, table, tile_size, settings)
    out.print(str(written), highlight=False, soft_wrap=True)
