"""Fine-tuning on corrections, and the lineage of checkpoints: ``fctl finetune``, ``fctl lineage``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fctl_napari.cli.options import (
    BandNamesOption,
    BandsOption,
    DeviceOption,
    ExactContextsOption,
    ImageNumberOption,
    PrecisionOption,
    RangeOption,
    image_location,
    stated_bands,
)
from fctl_napari.exceptions import ConfigError
from fctl_napari.files import local_path
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from fctl_napari.finetuning.lineage import Kin
    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.segmentation.tiling.grid import Cell


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(finetune)
    app.command()(lineage)


def finetune(
    images: Annotated[
        list[str],
        typer.Argument(
            parser=image_location,
            metavar="IMAGE [CORRECTIONS] ...",
            help="Images that were corrected, each followed by its corrections (or an OME-Zarr label: 255 is not sure) "
            "unless they lie beside it. Folders and quoted globs mean the corrected images among theirs.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Option(
            "--out", parser=local_path, metavar="NEW.safetensors", help="The new checkpoint; nothing is overwritten."
        ),
    ],
    checkpoint: Annotated[
        str, typer.Option(metavar="earth|aerial|FILE", help="The parent: a built-in checkpoint or a file.")
    ] = "earth",
    ground_truth: Annotated[
        str | None,
        typer.Option("--truth", metavar="T", help="Ground truth of the image, to measure on; it is not trained on."),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="What learns: decoder, lcc, gpe, mcf, ale, tile_encoder, medium_encoder, large_encoder, or all.  "
            "[default: decoder and fusion]",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps, at most.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Time for the steps, at most.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the scenes lie that the parent was trained on.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    held_out: Annotated[
        float | None, typer.Option(min=0, max=0.9, help="Share of the corrected regions that is only measured.")
    ] = None,
    bound: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="Share of px elsewhere that may change at most.")
    ] = None,
    keep_anyway: Annotated[bool, typer.Option("--keep-anyway", help="Keep it whatever the gate says.")] = False,
    device: DeviceOption = DEVICE.default,
    precision: PrecisionOption = PRECISION.default,
    exact_contexts: ExactContextsOption = False,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    image_number: ImageNumberOption = None,
) -> None:
    """Learn from corrections; the new checkpoint is kept if it is better there and nearly the same elsewhere."""
    from fctl_napari.api.finetuning import finetune as learn
    from fctl_napari.api.opening import as_image
    from fctl_napari.api.progress import Bar
    from fctl_napari.cli.corrected_images import find_pairs
    from fctl_napari.cli.output import counting, out, say
    from fctl_napari.cli.tables import show_before_after
    from fctl_napari.finetuning.request import PARTS
    from fctl_napari.model.model_card import read_card, resolve_checkpoint
    from fctl_napari.segmentation.inference.network_image import check_image_options

    stated = stated_bands(bands, band_names)
    check_image_options(read_card(resolve_checkpoint(checkpoint)).config, value_range, stated)
    chosen = None if parts is None else PARTS if parts == "all" else tuple(parts.split(","))
    given = {"parts": chosen, "steps": steps, "seconds": seconds, "held_out": held_out, "bound": bound}
    (image, corrections), *further = find_pairs(images, image_number)
    with counting(f"Learning from {count_of(1 + len(further), 'image')}") as report:
        candidate = learn(
            as_image(image, value_range=value_range, bands=stated),
            checkpoint,
            target,
            corrections=corrections,
            further=tuple(further),
            ground_truth=ground_truth,
            data_folder=None if data is None else str(data),
            seed=seed,
            device=device,
            precision=precision,
            exact_contexts=exact_contexts,
            progress=Bar(report),
            **{name: value for name, value in given.items() if value is not None},
        )
    if further:
        say([f"{1 + len(further)} images: {', '.join([image, *(one for one, _ in further)])}"])
    say(candidate.notes)
    show_before_after(candidate)
    for reason in candidate.gate.reasons:
        out.print(reason, highlight=False, soft_wrap=True)
    if candidate.better or keep_anyway:
        out.print(f"{candidate.keep(anyway=keep_anyway).path}: kept", highlight=False, soft_wrap=True)
    else:
        waiting = candidate.checkpoint.path
        out.print(
            f"{target}: not kept; {waiting} waits beside it, and the same call with --keep-anyway keeps it",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


def affected(
    parent: Path | None, corrections: Path | None, image: Pyramid, checkpoint: Path
) -> tuple[Cell, ...] | None:
    """Return the cells that ``fctl segment --inherit`` computes.

    Parameters
    ----------
    parent : Path or None
        The parent's segmentation.
    corrections : Path or None
        Corrections that the checkpoint learned from.
    image : Pyramid
        Image that is segmented.
    checkpoint : Path
        Checkpoint that segments it.

    Returns
    -------
    tuple of Cell or None
        Cells that corrections affect. None if neither parent nor corrections are given: all cells are computed.

    Raises
    ------
    ConfigError
        Only one of parent and corrections is given.
    """
    if parent is None and corrections is None:
        return None
    if parent is None or corrections is None:
        raise ConfigError("--inherit and --corrections go together: the corrections decide what is computed anew.")
    from fctl_napari.cli.output import counting
    from fctl_napari.finetuning.affected_tiles import affected_cells
    from fctl_napari.finetuning.correction_sources import open_corrections
    from fctl_napari.model.model_card import read_card
    from fctl_napari.segmentation.store.store import Segmentation

    with counting("Looking for affected tiles") as report:
        corrected = open_corrections(corrections, image, read_card(checkpoint))
        return affected_cells(Segmentation.open(parent), corrected, progress=report)


def lineage(
    location: Annotated[str, typer.Argument(metavar="DIR|CHECKPOINT", help="A folder of checkpoints, or one of them.")],
) -> None:
    """Show which checkpoint was fine-tuned from which, and what it changed."""
    from fctl_napari.cli.output import out
    from fctl_napari.finetuning.lineage import lineage as read_lineage

    def show(kin: Kin, depth: int) -> None:
        where = str(kin.path) if kin.path is not None else "its file is gone"
        story = f"  {kin.story()}" if kin.story() else ""
        line = f"{'  ' * depth}{kin.name}  {kin.hash[:12]}  {where}{story}"
        out.print(line, highlight=False, soft_wrap=True, markup=False)
        for child in kin.children:
            show(child, depth + 1)

    for eldest in read_lineage(location):
        show(eldest, 0)
