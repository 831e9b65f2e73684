"""Segmentation: ``fctl segment``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.finetune import affected
from fctl_napari.cli.options import (
    BandNamesOption,
    BandsOption,
    BatchOption,
    CheckpointOption,
    DeviceOption,
    EngineOption,
    ImageNumberOption,
    ImagesArgument,
    JsonOption,
    PrecisionOption,
    RangeOption,
    RegionOption,
    SchedulerOption,
    stated_bands,
)
from fctl_napari.cli.region import region_inside
from fctl_napari.exceptions import ConfigError
from fctl_napari.files import local_path
from fctl_napari.segmentation.jobs.parameters import DEVICE, ENGINE, FRESH, MAPS, MERGE, PRECISION, Merge


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(segment)


def segment(
    images: ImagesArgument,
    target: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="S.ome.zarr|DIR",
            help="Where the segmentation is kept; a folder for those of several images, with a table of them.",
        ),
    ],
    checkpoint: CheckpointOption = "earth",
    region: RegionOption = None,
    merge: Annotated[Merge, typer.Option(help=MERGE.help)] = MERGE.default,
    tta: Annotated[
        bool, typer.Option("--tta", help="Eight orientations of each tile (with --merge released).")
    ] = False,
    save_logits: Annotated[
        Path | None, typer.Option(metavar="L.npy", help="Summed logits too, float32 [C, H, W] (average, released).")
    ] = None,
    maps: Annotated[bool, typer.Option("--maps", help=MAPS.help)] = False,
    device: DeviceOption = DEVICE.default,
    engine: EngineOption = ENGINE.default,
    batch: BatchOption = None,
    precision: PrecisionOption = PRECISION.default,
    scheduler: SchedulerOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help=FRESH.help)] = False,
    inherit: Annotated[
        Path | None,
        typer.Option(metavar="P.ome.zarr", help="The parent's segmentation; only what corrections affect is computed."),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(metavar="C.ome.zarr", help="Corrections that the checkpoint learned from (with --inherit)."),
    ] = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    image_number: ImageNumberOption = None,
    json_file: JsonOption = None,
) -> None:
    """Segment images tile by tile; what is done is kept, and a second run resumes from there."""
    from fctl_napari.api.progress import Bar
    from fctl_napari.api.running import run
    from fctl_napari.cli.facts import say_domain, say_images
    from fctl_napari.cli.output import counting, out
    from fctl_napari.cli.segment_several import means_several, segment_several
    from fctl_napari.evaluation.domain import out_of_domain, result_differences
    from fctl_napari.exporting.logits import check_logits_path
    from fctl_napari.files import write_json
    from fctl_napari.imagery.numbered import with_number
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import read_card, resolve_checkpoint
    from fctl_napari.segmentation.inference.network_image import check_image_options, network_image
    from fctl_napari.segmentation.jobs.engine import SegmentationRequest
    from fctl_napari.segmentation.store.store import Segmentation

    weights = resolve_checkpoint(checkpoint)
    if save_logits is not None:
        check_logits_path(save_logits)
    stated = stated_bands(bands, band_names)
    card = read_card(weights)
    config = card.config
    check_image_options(config, value_range, stated)
    request = SegmentationRequest(
        image=images[0],
        out=str(target.absolute()),
        checkpoint=str(weights.absolute()),
        merge=merge,
        augment=tta,
        keep_logits=save_logits is not None,
        maps=maps,
        device=device,
        engine=engine,
        precision=precision,
        batch=batch,
        value_range=value_range,
        bands=stated,
        fresh=fresh,
        inherit=None if inherit is None else str(inherit),
    )
    if means_several(images, target):
        alone = {
            "--region": region,
            "--save-logits": save_logits,
            "--inherit": inherit,
            "--corrections": corrections,
            "--image": image_number,
        }
        given = [name for name, value in alone.items() if value is not None]
        if given:
            raise ConfigError(
                f"{given[0]} is of one image, and several are segmented; leave it out, or name one image."
            )
        segment_several(images, target, request, scheduler, json_file)
        return
    image = with_number(images[0], image_number)
    pyramid = network_image(open_image(image, value_range=value_range, bands=stated), config)
    say_images(pyramid)
    request = replace(
        request,
        image=image,
        region=region_inside(region, pyramid.shape, image),
        cells=affected(inherit, corrections, pyramid, weights),
    )
    say_domain(early := out_of_domain(pyramid, card))
    description = f"Segmenting with {weights.stem}"
    with counting(description) as report:
        progress = run(request, description, Bar(report), scheduler)
    unit = "tiles" if merge == "crop" else "cells"
    empty = f" ({progress.empty} without data)" if progress.empty else ""
    out.print(f"{target}: {progress.done} {unit}{empty} by {weights.stem}", highlight=False, soft_wrap=True)
    store = Segmentation.open(target)
    warning = out_of_domain(pyramid, card, store)
    if unsure := result_differences(store, card):
        say_domain(warning if early is None else f"{target}: {unsure[0]}.")
    if json_file is not None:
        facts = {"segmentation": str(target), "checkpoint": card.name, "done": progress.done, "empty": progress.empty}
        write_json(json_file, {**facts, "unit": unit, "warning": warning})
    if save_logits is not None:
        from fctl_napari.exporting.logits import export_logits

        with counting("Writing the logits") as report:
            written = export_logits(store, save_logits, progress=report)
        out.print(str(written), highlight=False, soft_wrap=True)
