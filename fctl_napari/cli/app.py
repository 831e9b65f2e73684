"""The command line, ``fctl ...``: each command is a few lines over the packages below, imported when needed."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from fctl_napari.cli import ablate, corrections, data, evaluate, explain, export, finetune, model, refine, train
from fctl_napari.cli.options import (
    BandsOption,
    BatchOption,
    CheckpointOption,
    DeviceOption,
    PrecisionOption,
    RangeOption,
    RegionOption,
    SchedulerOption,
)
from fctl_napari.cli.region import region_inside
from fctl_napari.errors import FctlError, InputError
from fctl_napari.files import local_path, output_error

app = typer.Typer(
    help="Segment ultra-high-resolution images with context-aware networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Merge = Literal["crop", "average", "released"]


@app.command()
def demo() -> None:
    """Open napari with the sample scene, segment it and compare with the truth."""
    from fctl_napari.plugin.demo import run_demo

    run_demo()


@app.command()
def sample(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The OME-Zarr to write.")]) -> None:
    """Write the sample scene as an OME-Zarr pyramid with its truth under labels/."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.imagery.sample import write_sample

    with counting("Writing the sample scene") as report:
        written = write_sample(folder, progress=report)
    out.print(str(written), highlight=False, soft_wrap=True)


@app.command()
def info(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="An image or its http address, a segmentation, corrections, or a checkpoint."
        ),
    ],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every pixel: is the image still what its conversion, segmentation, corrections know?"
        ),
    ] = False,
) -> None:
    """Say what a file is: size, levels, georeference; classes, settings and figures."""
    from fctl_napari.cli.corrections import show_corrections
    from fctl_napari.cli.output import card_facts, counting, image_facts, segmentation_facts, show_facts
    from fctl_napari.corrections.correction_store import is_corrections
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import builtin_checkpoints, read_card, resolve_checkpoint
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.segmentation.store.verify import verify_image, verify_store

    if path.endswith(".safetensors") or (path in builtin_checkpoints() and not Path(path).exists()):
        if verify:
            raise InputError(f"{path}: is a checkpoint, and has no pixels to be verified; leave --verify out.")
        show_facts(card_facts(read_card(resolve_checkpoint(path))))
        return
    store = False
    if Path(path).is_dir() and is_corrections(Path(path)):
        show_corrections(Path(path))
        store = True
    elif Path(path).is_dir():
        with suppress(InputError):  # then it is an image
            show_facts(segmentation_facts(Segmentation.open(path)))
            store = True
    image = None if store else open_image(path)
    if image is not None:
        show_facts(image_facts(image))
    if verify:
        with counting("Reading every pixel") as report:
            found = verify_store(path, progress=report) if image is None else verify_image(image, progress=report)
        show_facts({"verified": found.words, "all pixels": found.fingerprint})
        if found.same is False:
            raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Any image that can be opened, or its http address.")],
    target: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="OUT.ome.zarr", help="The pyramid to write; resumes if cut short."),
    ],
    value_range: RangeOption = None,
    bands: BandsOption = None,
) -> None:
    """Turn an image into an OME-Zarr pyramid, block by block."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.imagery.convert import convert as convert_image
    from fctl_napari.imagery.open import open_image

    pyramid = open_image(source, value_range=value_range, bands=bands)
    with counting("Converting") as report:
        written = convert_image(pyramid, target, progress=report)
    out.print(str(written), highlight=False, soft_wrap=True)


@app.command()
def segment(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image, or its http address.")],
    target: Annotated[
        Path, typer.Option("--out", parser=local_path, metavar="S.ome.zarr", help="Where the segmentation is kept.")
    ],
    checkpoint: CheckpointOption = "earth",
    region: RegionOption = None,
    merge: Annotated[
        Merge, typer.Option(help="Tiles own their core, or are averaged, or are summed as in the released code.")
    ] = "crop",
    tta: Annotated[
        bool, typer.Option("--tta", help="Eight orientations of each tile (with --merge released).")
    ] = False,
    save_logits: Annotated[
        Path | None, typer.Option(metavar="L.npy", help="Summed logits too, float32 [C, H, W] (average, released).")
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps", help="Maps of entropy, margin and each context's weight too (crop).")
    ] = False,
    device: DeviceOption = "auto",
    batch: BatchOption = None,
    precision: PrecisionOption = "auto",
    scheduler: SchedulerOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what another checkpoint or setting made.")] = False,
    inherit: Annotated[
        Path | None,
        typer.Option(metavar="P.ome.zarr", help="The parent's segmentation; only what corrections affect is computed."),
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(metavar="C.ome.zarr", help="What the checkpoint learnt from (with --inherit).")
    ] = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
) -> None:
    """Segment an image tile by tile; what is done is kept, and a second run goes on from there."""
    from fctl_napari.cli.output import counting, out, run_watched, say_nodata
    from fctl_napari.export.logits import check_logits_path
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import resolve_checkpoint
    from fctl_napari.segmentation.jobs.engine import SegmentationRequest

    weights = resolve_checkpoint(checkpoint)
    if save_logits is not None:
        check_logits_path(save_logits)
    pyramid = open_image(image, value_range=value_range, bands=bands)
    pyramid.require_rgb()
    region = region_inside(region, pyramid.shape, image)
    say_nodata(image)
    cells = finetune.affected(inherit, corrections, pyramid, weights)
    request = SegmentationRequest(
        image=image,
        out=str(target.absolute()),
        checkpoint=str(weights.absolute()),
        region=region,
        merge=merge,
        augment=tta,
        keep_logits=save_logits is not None,
        maps=maps,
        device=device,
        precision=precision,
        batch=batch,
        value_range=value_range,
        bands=bands,
        fresh=fresh,
        cells=cells,
        inherit=None if inherit is None else str(inherit),
    )
    progress = run_watched(request, f"Segmenting with {weights.stem}", scheduler)
    unit = "tiles" if merge == "crop" else "cells"
    out.print(f"{target}: {progress.done} {unit} by {weights.stem}", highlight=False, soft_wrap=True)
    if save_logits is not None:
        from fctl_napari.export.logits import export_logits
        from fctl_napari.segmentation.store.store import Segmentation

        with counting("Writing the logits") as report:
            written = export_logits(Segmentation.open(target), save_logits, progress=report)
        out.print(str(written), highlight=False, soft_wrap=True)


explain.add_commands(app)


@app.command("import-released")
def import_released(
    whole: Annotated[Path, typer.Argument(metavar="ALL.pth", help="all.epoch.pth: the tile's file.")],
    medium: Annotated[Path, typer.Argument(metavar="MEDIUM.pth", help="B10.epoch.pth: the context x2.")],
    large: Annotated[Path, typer.Argument(metavar="LARGE.pth", help="B15.epoch.pth: the context x3.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The checkpoint to write.")],
    classes: Annotated[
        str, typer.Option(metavar="inria|deepglobe|N|FILE", help="What the classes are; N: numbered ones.")
    ],
) -> None:
    """Turn the authors' three released files into one checkpoint (preset lcc_released)."""
    from fctl_napari.cli.output import err, out
    from fctl_napari.model.classes import class_table
    from fctl_napari.model.released import import_released as import_files

    table = class_table(classes)
    with err.status("Importing"):
        written = import_files(whole, medium, large, target, table)
    out.print(str(written), highlight=False, soft_wrap=True)


export.add_commands(app)


evaluate.add_commands(app)


corrections.add_commands(app)


finetune.add_commands(app)


refine.add_commands(app)


data.add_commands(app)


train.add_commands(app)


weights_app = typer.Typer(no_args_is_help=True, help="Files of weights.")
model_app = typer.Typer(no_args_is_help=True, help="Networks and what they cost.")
app.add_typer(weights_app, name="weights")
app.add_typer(model_app, name="model")
app.add_typer(ablate.ablate_app, name="ablate")


@weights_app.command("check")
def check_weights(file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights, in any known layout.")]) -> None:
    """Say what a file of weights is and which presets take it."""
    from fctl_napari.cli.output import show_facts
    from fctl_napari.model.weight_files import identify

    found = identify(file)
    show_facts({"file": str(file), "is": found.what, "use": found.use, "presets": "; ".join(found.presets) or "-"})


@model_app.command("info")
def model_info(
    name: Annotated[str, typer.Argument(metavar="PRESET", help="fctl_lite, fctl_vgg16, lcc_released, unet, ...")],
    classes: Annotated[int, typer.Option(min=2, help="How many classes.")] = 7,
    whole: Annotated[
        bool, typer.Option("--global", help="Fed the whole image, resampled to a tile (networks without contexts).")
    ] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Count parameters and FLOPs by part, and measure memory and seconds per tile on this device."""
    from fctl_napari.cli.output import err, show_cost
    from fctl_napari.model.config import preset

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


model.add_commands(model_app)


@model_app.command("onnx")
def model_onnx(
    checkpoint: Annotated[str, typer.Argument(metavar="earth|aerial|FILE", help="A built-in checkpoint or a file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
) -> None:
    """Write a checkpoint as an ONNX file: one tile with its contexts, for programs without torch."""
    from fctl_napari.cli.output import err, out
    from fctl_napari.model.model_card import resolve_checkpoint
    from fctl_napari.model.onnx_export import export_onnx

    with err.status("Exporting"):
        written = export_onnx(resolve_checkpoint(checkpoint), target)
    out.print(str(written), highlight=False, soft_wrap=True)


def main() -> None:
    """Run a command; what the user can mend is one sentence on stderr and exit code 2."""
    try:
        app()
    except FctlError as error:
        sys.exit(_complain(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # Full disks and the like that a library met while writing; other errors of the system are bugs.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        sys.exit(_complain(output_error(error.filename or "the output", error)))


def _complain(error: FctlError) -> int:
    print(f"fctl: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
