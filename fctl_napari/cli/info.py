"""Facts of a file: ``fctl info``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.options import ImageNumberOption, image_location
from fctl_napari.exceptions import InputError


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(info)


def info(
    path: Annotated[
        str,
        typer.Argument(
            parser=image_location,
            metavar="PATH",
            help="An image or its http address, a segmentation, corrections, or a checkpoint.",
        ),
    ],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every pixel: is the image still what its conversion, segmentation, corrections know?"
        ),
    ] = False,
    image_number: ImageNumberOption = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="earth|aerial|FILE", help="Is the image like those that this checkpoint was trained on?"),
    ] = None,
) -> None:
    """Say what a file is: size, levels, georeference; classes, settings and figures."""
    from fctl_napari.cli.corrections import show_corrections
    from fctl_napari.cli.facts import card_facts, image_against_card, image_facts, segmentation_facts, show_facts
    from fctl_napari.cli.output import counting
    from fctl_napari.correcting.correction_store import is_corrections
    from fctl_napari.imagery.numbered import with_number
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import builtin_checkpoints, read_card, require_classes, resolve_checkpoint
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.segmentation.store.verify import verify_image, verify_store

    card = None
    if checkpoint is not None:
        card = read_card(resolve_checkpoint(checkpoint))
        require_classes(checkpoint, card)
    if path.endswith(".safetensors") or (path in builtin_checkpoints() and not Path(path).exists()):
        if verify:
            raise InputError(f"{path}: is a checkpoint, and has no pixels to be verified; leave --verify out.")
        if card is not None:
            raise InputError(f"{path}: is a checkpoint; give the image that --checkpoint is compared with.")
        show_facts(card_facts(read_card(resolve_checkpoint(path))))
        return
    corrections, segmentation = Path(path).is_dir() and is_corrections(Path(path)), None
    if Path(path).is_dir() and not corrections:
        with suppress(InputError):  # then it is an image
            segmentation = Segmentation.open(path)
    image = None if corrections or segmentation is not None else open_image(with_number(path, image_number))
    if card is not None and image is None:
        raise InputError(f"{path}: is no image; leave --checkpoint out, or name the image.")
    if corrections:
        show_corrections(Path(path))
    if segmentation is not None:
        show_facts(segmentation_facts(segmentation))
    if image is not None:
        show_facts(image_facts(image) | ({} if card is None else image_against_card(image, card)))
    if verify:
        with counting("Reading every pixel") as report:
            found = verify_store(path, progress=report) if image is None else verify_image(image, progress=report)
        show_facts({"verified": found.words, "all pixels": found.fingerprint})
        if found.same is False:
            raise typer.Exit(1)
