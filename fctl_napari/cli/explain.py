"""Explanation of a pixel: ``fctl explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fctl_napari.cli.options import (
    BandNamesOption,
    BandsOption,
    CheckpointOption,
    DeviceOption,
    ExactContextsOption,
    ImageArgument,
    ImageNumberOption,
    PrecisionOption,
    RangeOption,
    stated_bands,
)
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION

Part = Literal["combined", "content", "positional"]
Limits = Literal["shared", "each"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(explain)


def explain(
    image: ImageArgument,
    y: Annotated[float, typer.Argument(metavar="Y", help="Row of the pixel, from 0.")],
    x: Annotated[float, typer.Argument(metavar="X", help="Column of the pixel, from 0.")],
    target: Annotated[Path | None, typer.Option("--out", metavar="FILE.png|svg", help="Draw it here too.")] = None,
    checkpoint: CheckpointOption = "earth",
    without: Annotated[
        list[str] | None, typer.Option(metavar="local|medium|large|gpe|ale", help="Leave this out as well; repeatable.")
    ] = None,
    part: Annotated[Part, typer.Option(help="The part of the attention that is drawn.")] = "combined",
    limits: Annotated[Limits, typer.Option(help="Color limits over all contexts, or of each map.")] = "shared",
    channel: Annotated[
        int | None, typer.Option(min=0, help="Channel of the fusion weights. (default: their mean)")
    ] = None,
    overlap: Annotated[int | None, typer.Option(min=0, help="Of the tiles, px, as when segmenting.")] = None,
    exact_contexts: ExactContextsOption = False,
    device: DeviceOption = DEVICE.default,
    precision: PrecisionOption = PRECISION.default,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    image_number: ImageNumberOption = None,
) -> None:
    """Say what each context contributed to the class of a pixel, and what changes without a part of the network."""
    from fctl_napari.api.explaining import explain as explain_pixel
    from fctl_napari.api.opening import as_image
    from fctl_napari.cli.output import err, out
    from fctl_napari.cli.tables import show_explanation
    from fctl_napari.figures.files import check_figure_path, save_figure
    from fctl_napari.imagery.numbered import with_number
    from fctl_napari.model.model_card import read_card, resolve_checkpoint
    from fctl_napari.segmentation.inference.network_image import check_image_options

    if target is not None:
        check_figure_path(target)

    stated = stated_bands(bands, band_names)
    check_image_options(read_card(resolve_checkpoint(checkpoint)).config, value_range, stated)
    with err.status("Explaining"):
        explanation = explain_pixel(
            as_image(with_number(image, image_number), value_range=value_range, bands=stated),
            (y, x),
            checkpoint,
            overlap=overlap,
            device=device,
            precision=precision,
            exact_contexts=exact_contexts,
            channel=channel,
            without=without or (),
        )
    show_explanation(explanation.explained)
    if target is not None:
        with err.status("Drawing"):
            save_figure(explanation.figure(limits=limits, part=part), target)
        out.print(str(target), highlight=False, soft_wrap=True)
