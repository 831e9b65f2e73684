"""Light heads: ``fctl fit-head``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(fit_head)


def fit_head(
    images: Annotated[
        list[str],
        typer.Argument(
            parser=image_location,
            metavar="IMAGE [CORRECTIONS]",
            help="The image that was painted on, followed by its corrections (or an OME-Zarr label: 255 is not sure) "
            "unless they lie beside it.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Option(
            "--out", parser=local_path, metavar="NEW.safetensors", help="The new checkpoint; nothing is overwritten."
        ),
    ],
    checkpoint: Annotated[
        str,
        typer.Option(metavar="earth|aerial|FILE", help="The network that gives the features: built in, or a file."),
    ] = "earth",
    decoder: Annotated[
        str, typer.Option(metavar="linear|mlp", help="Logistic regression, or one hidden layer.")
    ] = "linear",
    contexts: Annotated[bool, typer.Option(help="Whether the head sees the features of the contexts.")] = True,
    held_out: Annotated[
        float | None, typer.Option(min=0, max=0.9, help="Share of the painted regions that it is measured on.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    device: DeviceOption = DEVICE.default,
    precision: PrecisionOption = PRECISION.default,
    exact_contexts: ExactContextsOption = False,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    image_number: ImageNumberOption = None,
) -> None:
    """Learn the classes of strokes as a light head on the encoders of a network, within seconds."""
    from fctl_napari.api.light_heads import fit_head as learn
    from fctl_napari.api.opening import as_image
    from fctl_napari.api.progress import Bar
    from fctl_napari.cli.corrected_images import find_pairs
    from fctl_napari.cli.output import counting, out, say
    from fctl_napari.model.model_card import read_card, resolve_checkpoint
    from fctl_napari.segmentation.inference.network_image import check_image_options

    stated = stated_bands(bands, band_names)
    check_image_options(read_card(resolve_checkpoint(checkpoint)).config, value_range, stated)
    (image, corrections), *further = find_pairs(images, image_number)
    if further:
        raise ConfigError("a light head learns from one image; name one with its corrections.")
    with counting("Learning from strokes") as report:
        head = learn(
            as_image(image, value_range=value_range, bands=stated),
            checkpoint,
            target,
            corrections=corrections,
            decoder=decoder,
            contexts=contexts,
            seed=seed,
            device=device,
            precision=precision,
            exact_contexts=exact_contexts,
            progress=Bar(report),
            **({} if held_out is None else {"held_out": held_out}),
        )
    card = read_card(head.path)
    say(card.provenance["head"].get("notes", []))
    where, figures = card.headline()
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    out.print(f"{head.path}: {', '.join(card.classes.names)}", highlight=False, soft_wrap=True)
    if numbers:
        out.print(f"{numbers} ({where})", highlight=False, soft_wrap=True)
    worth = ", ".join(f"{name} {value:+.3f}" for name, value in card.figures.get("context_importance", {}).items())
    if worth:
        out.print(f"accuracy that each context's own features are worth: {worth}", highlight=False, soft_wrap=True)
