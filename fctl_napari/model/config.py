"""Settings of a network, with a field for every option of the paper's ablation tables (no torch)."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fctl_napari.exceptions import ConfigError, fault_of
from fctl_napari.model.architectures import ENCODERS, ArchitectureName, EncoderName
from fctl_napari.model.bands import RGB, Band
from fctl_napari.model.onnx_settings import LARGEST_TILE, SMALLEST_TILE, OnnxSettings

ContextName = Literal["local", "medium", "large"]
AleStructure = Literal["none", "concat", "a", "b", "c", "d", "e"]
DecoderName = Literal["fcn8s", "segformer", "linear", "mlp"]


class Context(BaseModel):
    """One context of the tile (section 3.2 of the paper).

    Attributes
    ----------
    name : ContextName
        Name of the context. ``local`` is the tile itself, or (with a scale over 1, two rows of Table 4) a region around
        it that goes through the tile's encoder. ``medium`` and ``large`` are larger regions with encoders of their own.
    scale : float or {"global"}
        Side of the context over the side of the tile, or ``"global"`` for the whole image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ContextName
    scale: Annotated[float, Field(allow_inf_nan=False)] | Literal["global"] = 1.0

    @property
    def words(self) -> str:
        """Name and scale for people: ``"medium x3"``, ``"large global"``."""
        if self.scale == 1.0:
            return self.name
        return f"{self.name} {self.scale}" if self.scale == "global" else f"{self.name} x{self.scale:g}"


GLOBAL_VIEW = Context(name="large", scale="global")
"""Context that is the whole image."""


class FCtLConfig(BaseModel):
    """Settings of a network: FCtL, or a baseline of Table 1.

    For a baseline ``encoder``, ``tile_size``, ``classes``, ``normalization`` and ``inference`` count. LCF and ALE are
    off. For a network that came as an ONNX file ``tile_size``, ``classes``, ``bands`` and ``onnx`` count.

    Attributes
    ----------
    architecture : ArchitectureName
        ``fctl``, or a baseline: ``segnet``, ``unet``, ``pspnet``, ``deeplabv3plus``, ``icnet``, ``segformer``,
        ``glnet``. (FCN-8s is FCtL without contexts.) ``unet_resnet``, ``fpn`` and ``deeplabv3plus_separable`` are
        those of the package segmentation_models.pytorch. ``upernet`` runs through the package transformers.
        ``refiner`` and ``cascadepsp`` take a mask beside the image and give a finer one. ``onnx`` is a network
        that came as an ONNX file, whose graph is run as it is.
    inference : {"local", "global"}
        Input of a network without contexts. ``local``: the tile. ``global``: the whole image, resampled to the tile's
        size, of whose logits each tile takes its part ("global inference" of Table 1).
    encoder : EncoderName
        Encoder of every stream.
    tile_size : int
        Side of the network's square input, px.
    classes : int
        Number of predicted classes.
    contexts : tuple of Context
        Contexts that LCC correlates with the tile (Table 3, 4). Without any, the network is the paper's baseline
        (FCN-8s).
    context_border : {"pad", "shift"}
        Window of a context that reaches outside the image. ``pad``: the outside is filled with black, as released.
        ``shift``: the window slides back inside the image.
    correlation_stride : {8, 16, 32}
        Stride of the features X that are correlated and enhanced: 32, 16 or 8 px of the network's input.
    width : int or None
        Channels of X after a 1x1 convolution; None keeps the encoder's.
    top_down : bool
        If True, the stride-32 features, upsampled, are added to X, which then has the semantics of the last stage at a
        finer grid. Needs a ``correlation_stride`` under 32 and a ``width``.
    share_encoders : {"none", "contexts", "all"}
        ``none``: three encoders of their own (the paper). ``contexts``: medium and large share one. ``all``: one
        encoder for every stream.
    lcf : bool
        If True, use locality-aware context fusion; False is "ALE only" of Table 6.
    gpe : bool
        If True, use gated positional embeddings (Eq. 2, Table 3).
    gpe_unit : {"tile", "context"}
        Cells in which GPE measures how far a context's cell lies. ``tile``: the tile's, so that attention starts on the
        one nearest cell of a wide context (1.0 effective cells at x21). ``context``: the context's own, so that it
        starts equally wide in cells of every context.
    projections : bool
        If True, put 1x1 convolutions in front of Q, K and V.
    scale_logits : bool
        If True, divide the content logits by sqrt(d).
    values_from : {"context", "local"}
        Source of V. ``context``: the context's features (as released). ``local``: the tile's (needs equal grids).
    gate_init : float
        Initial value of the residual gates gamma_U (0 as released).
    fusion : {"adaptive", "average", "weighted", "released"}
        MCF's weights (Table 5). ``adaptive``: per channel and cell. ``average``: all equal. ``weighted``: one learned
        scalar per context. ``released``: per channel and cell by a single 1x1 convolution with a sigmoid in front of
        the softmax, as in the released code (whose three layers fold into one).
    ale : AleStructure
        Structure of alternating local enhancement (Fig. 13, Table 6); ``d`` is Algorithm 1.
    ale_reference : {"medium", "large"}
        Reference of structures ``a`` and ``b``.
    ale_windows : tuple of int
        Window sizes of LFI's groups of channels, cells, odd.
    ale_tokenise_target : bool
        If True, put the target through a 1x1 convolution as well (Eq. 7's first term).
    fc_channels : int or None
        Channels of fc6 and fc7 in front of the score at stride 32 (4096 in FCN-8s); None for no such layers.
    fc_kernel : int
        Kernel size of fc6, cells, odd.
    normalization : {"encoder", "unit"}
        ``encoder``: the input as the encoder's published weights expect it. ``unit``: RGB / 255, as released.
    finest_skip : {8, 4, 2}
        Stride of the decoder's last skip: 8 (FCN-8s), or finer where the encoder has such features, for sharper masks.
        The decoder ``segformer`` always begins at stride 4.
    bands : tuple of Band
        Bands of the input, found in an image by their names. Without any the input is red, green and blue as they are
        shown.
    sharing : {"last", "down", "both"}
        Features that GLNet's branches share. ``last``: the image's last ones are given to the tile. ``down``: those of
        every layer are. ``both``: those of all tiles are given back to the image as well, which takes a pass over them
        before any is segmented.
    decoder : {"fcn8s", "segformer", "linear", "mlp"}
        FCtL's decoder. ``fcn8s``: the paper's. ``segformer``: that of SegFormer, over its encoders. ``linear`` and
        ``mlp`` are light heads on the features of the tile and of its contexts, for frozen encoders: a multinomial
        logistic regression, and one with a hidden layer.
    multi_grid : bool
        If True, the three dilated convolutions of DeepLab v3+'s last stage have 1, 2 and 4 times its dilation.
    onnx : OnnxSettings or None
        Input and output of a network that came as an ONNX file; None for all others.
    transformers : str
        Settings (JSON) from which the package transformers builds ``upernet``, whose own code then computes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: ArchitectureName = "fctl"
    inference: Literal["local", "global"] = "local"
    encoder: EncoderName = "vgg16"
    tile_size: int = Field(default=508, ge=SMALLEST_TILE, le=LARGEST_TILE)
    classes: int = Field(default=7, ge=2, le=250)
    contexts: tuple[Context, ...] = (
        Context(name="local"),
        Context(name="medium", scale=3.0),
        Context(name="large", scale="global"),
    )
    context_border: Literal["pad", "shift"] = "pad"
    correlation_stride: Literal[8, 16, 32] = 32
    width: int | None = Field(default=None, ge=8)
    top_down: bool = False
    share_encoders: Literal["none", "contexts", "all"] = "none"
    lcf: bool = True
    gpe: bool = True
    gpe_unit: Literal["tile", "context"] = "tile"
    projections: bool = True
    scale_logits: bool = False
    values_from: Literal["context", "local"] = "context"
    gate_init: float = 0.0
    fusion: Literal["adaptive", "average", "weighted", "released"] = "adaptive"
    ale: AleStructure = "d"
    ale_reference: Literal["medium", "large"] = "medium"
    ale_windows: tuple[int, ...] = (3, 5, 7, 9)
    ale_tokenise_target: bool = True
    fc_channels: int | None = Field(default=None, ge=1)
    fc_kernel: int = Field(default=7, ge=1)
    normalization: Literal["encoder", "unit"] = "encoder"
    finest_skip: Literal[8, 4, 2] = 8
    bands: tuple[Band, ...] = ()
    sharing: Literal["last", "down", "both"] = "last"
    decoder: DecoderName = "fcn8s"
    multi_grid: bool = False
    onnx: OnnxSettings | None = None
    transformers: str = ""

    @model_serializer(mode="wrap")
    def _as_stated(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out unset options of later versions, so that what earlier ones stored still compares equal."""
        unset: dict[str, tuple[Any, ...]] = {
            "bands": ((), []),
            "sharing": ("last",),
            "multi_grid": (False,),
            "gpe_unit": ("tile",),
            "decoder": ("fcn8s",),
            "onnx": (None,),
            "transformers": ("",),
        }
        return {key: value for key, value in dump(self).items() if value not in unset.get(key, ())}

    @model_validator(mode="after")
    def _check(self) -> FCtLConfig:
        repeated = [name for name in self.band_names if self.band_names.count(name) > 1]
        if self.bands and repeated:
            raise ValueError(f"each band may stand once, got {repeated[0]!r} twice")
        if self.multi_grid and self.architecture != "deeplabv3plus":
            raise ValueError(f"multi_grid is an option of deeplabv3plus, not of {self.architecture}; leave it out")
        if self.decoder != "fcn8s" and self.architecture != "fctl":
            raise ValueError(f"decoder is an option of fctl, not of {self.architecture}; leave it out")
        if self.decoder != "fcn8s" and self.fc_channels is not None:
            raise ValueError(f"fc_channels is an option of the decoder fcn8s, not of {self.decoder}; leave it out")
        if self.decoder == "segformer" and self.encoder not in ENCODERS["segformer"]:
            fit = ", ".join(ENCODERS["segformer"])
            raise ValueError(f"the decoder segformer is for {fit}, not for {self.encoder}; choose one of them")
        if self.decoder == "segformer" and self.finest_skip != 8:
            raise ValueError("finest_skip is an option of the other decoders, not of segformer; leave it out")
        if (self.backbone is not None) != (self.architecture == "upernet"):
            raise ValueError("transformers holds the settings of upernet (JSON), which `fctl model import` alone makes")
        if self.sharing != "last" and self.architecture != "glnet":
            raise ValueError(f"sharing is an option of glnet, not of {self.architecture}; leave it out")
        if self.bands and self.refines:
            raise ValueError("a refiner takes red, green and blue; leave out bands")
        if (self.onnx is None) == (self.architecture == "onnx"):
            raise ValueError("onnx holds the settings of the architecture onnx, and goes with no other")
        if self.onnx is not None:
            return self._check_onnx(self.onnx)
        fitting = ENCODERS[self.architecture]
        if self.encoder not in fitting:
            raise ValueError(f"{self.architecture} has no encoder {self.encoder!r}; choose from {', '.join(fitting)}")
        if self.inference == "global" and self.contexts:
            raise ValueError("global inference is for networks without contexts; set contexts = []")
        if self.architecture != "fctl":
            return self._check_baseline()
        names = [c.name for c in self.contexts]
        if len(set(names)) != len(names):
            raise ValueError(f"each context may stand once, got {names}")
        for context in self.contexts:
            if context.name == "local" and context.scale == "global":
                raise ValueError("the local context is the tile or a region around it; give its scale as a number")
            if context.scale != "global" and context.scale < 1.0:
                raise ValueError(
                    f"context {context.name!r} (scale {context.scale}) is smaller than the tile; "
                    "use a scale of 1 or more"
                )
        if any(w < 1 or w % 2 == 0 for w in self.ale_windows) or not self.ale_windows:
            raise ValueError(f"ale_windows must be odd sizes, got {self.ale_windows}")
        if self.fc_kernel % 2 == 0:
            raise ValueError(f"fc_kernel must be odd, got {self.fc_kernel}")
        outer = [n for n in names if n != "local"]
        if self.contexts and not self.lcf and self.ale == "none" and not self.light:
            raise ValueError("contexts without lcf and ale would be unused; drop them or switch one on")
        if not self.contexts and self.ale != "none":
            raise ValueError("ale needs contexts to take its references from; set ale = 'none'")
        if self.ale in ("a", "b") and self.ale_reference not in names:
            raise ValueError(
                f"ale structure {self.ale!r} refers to the {self.ale_reference} context, which is not among {names}"
            )
        idle = [n for n in outer if n != self.ale_reference]
        if not self.lcf and self.ale in ("a", "b") and idle and not self.light:
            raise ValueError(
                f"without lcf, the {idle[0]} context would be unused by ale structure {self.ale!r}; drop it"
            )
        if self.ale in ("c", "d", "e", "concat") and len(outer) < 2:
            raise ValueError(f"ale structure {self.ale!r} needs the medium and the large context, got {names}")
        if self.top_down and (self.correlation_stride == 32 or self.width is None):
            raise ValueError("top_down needs a correlation_stride under 32 and a width")
        return self

    def _check_baseline(self) -> FCtLConfig:
        expected = (GLOBAL_VIEW,) if self.architecture in ("glnet", "cascadepsp") else ()
        if self.lcf or self.ale != "none" or self.contexts != expected:
            raise ValueError(
                f"{self.architecture} has no LCF, no ALE and "
                f"{'the whole image as its large context' if expected else 'no contexts'}; start from its preset"
            )
        return self

    def _check_onnx(self, settings: OnnxSettings) -> FCtLConfig:
        if self.inference == "global":
            raise ValueError("a network that came as an ONNX file sees tiles; leave out inference")
        if not len(settings.mean) == len(settings.std) == self.in_channels:
            raise ValueError(
                f"mean and std have {len(settings.mean)} and {len(settings.std)} values for {self.in_channels} bands"
            )
        return self._check_baseline()

    @property
    def title(self) -> str:
        """Title for people: architecture, encoder and, where it is not the tile, the input."""
        if self.onnx is not None:
            return "ONNX network"
        view = ", sees the whole image" if self.inference == "global" else ""
        if self.backbone is not None:
            return f"UperNet over {self.backbone}{view}"
        kind = "head" if self.light else "decoder"
        decoder = f", {self.decoder} {kind}" if self.decoder != "fcn8s" else ""
        return f"{self.architecture}, {self.encoder}{decoder}{view}"

    @property
    def backbone(self) -> str | None:
        """Kind of the backbone of transformers, None for a network that does not run through that package."""
        try:
            return str(json.loads(self.transformers)["backbone_config"]["model_type"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return None

    @property
    def light(self) -> bool:
        """True if a light head is in the place of FCtL's decoder."""
        return self.decoder in ("linear", "mlp")

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands of the input, in their order."""
        return tuple(band.name for band in self.bands) or RGB

    @property
    def in_channels(self) -> int:
        """Number of bands of the input."""
        return len(self.band_names)

    @property
    def refines(self) -> bool:
        """True if the network takes a mask beside the image."""
        return self.architecture in ("refiner", "cascadepsp")

    @property
    def outer_contexts(self) -> tuple[Context, ...]:
        """Contexts that have a window of their own.

        Returns
        -------
        tuple of Context
            All contexts but a ``local`` one that is the tile itself. With global inference there is one, which stands
            for the whole image.
        """
        if self.inference == "global":
            return (GLOBAL_VIEW,)
        return tuple(c for c in self.contexts if c.name != "local" or c.scale != 1.0)


def make_config(**fields: Any) -> FCtLConfig:
    """Build the settings of a network, and report invalid fields as a ``ConfigError``.

    Parameters
    ----------
    **fields : object
        Fields of ``FCtLConfig``.

    Returns
    -------
    FCtLConfig
        The settings.

    Raises
    ------
    ConfigError
        A field is unknown, out of range, or contradicts another.
    """
    try:
        config = FCtLConfig(**fields)
    except ValidationError as error:
        raise ConfigError(f"network settings: {fault_of(error)}.") from error
    # Not among the checks of FCtLConfig, as checkpoints of earlier versions may state it.
    if config.gpe_unit != "tile" and not (config.gpe and config.lcf and config.architecture == "fctl"):
        raise ConfigError("network settings: gpe_unit is an option of GPE, which is off here; leave it out.")
    return config
