"""Networks that lie in the memory of a worker, one for each engine.

Importing this module loads no torch; the functions do where the network needs it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import checkpoint_hash, read_card, require_classes
from fctl_napari.segmentation.inference.engines import EngineName, resolve_engine
from fctl_napari.segmentation.inference.hardware import device_type, resolve_precision
from fctl_napari.segmentation.inference.tile_predictor import TilePredictor, check_batch
from fctl_napari.segmentation.jobs.parameters import DEVICE, ENGINE, PRECISION

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.explainer import Explainer


@dataclass(frozen=True)
class Network:
    """Network of a task, and how it is run.

    Attributes
    ----------
    checkpoint : str
        Path of the checkpoint.
    hash : str
        SHA-256 of the checkpoint when the run began.
    device : str
        Device, as for ``Predictor``.
    precision : str
        Precision, as for ``Predictor``.
    batch : int or None
        Number of tiles at once, as for ``Predictor``.
    exact_contexts : bool
        If True, contexts are resampled from full resolution, as for ``Predictor``.
    threads : int or None
        Number of threads that compute. None uses all cores.
    engine : str
        Engine that runs it, as for ``resolve_engine``.
    """

    checkpoint: str
    hash: str
    device: str = DEVICE.default
    precision: str = PRECISION.default
    batch: int | None = None
    exact_contexts: bool = False
    threads: int | None = None
    engine: str = ENGINE.default


@dataclass
class Loaded:
    """Network that lies in memory.

    Attributes
    ----------
    network : Network
        The network, and how it is run.
    predictor : TilePredictor
        The network itself.
    explainer : Explainer or None
        What explains with it, with the last tile. None before the first explanation.
    """

    network: Network
    predictor: TilePredictor
    explainer: Explainer | None = None


one_at_a_time = threading.Lock()
"""Lock: one task at a time computes, however many threads the worker has."""

loaded: dict[EngineName, Loaded] = {}
"""What lies in memory, by engine: explanations are computed by torch, whatever runs tiles."""


def prepare(network: Network) -> str:
    """Load a network, so that the first tile does not wait for it.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    str
        Device and precision, as text for people.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or was replaced since the run began.
    ConfigError
        There is no such device here.
    """
    with one_at_a_time:
        return load(network).predictor.describe()


def warm(network: Network) -> None:
    """Load a network, and make it ready for the first tile of a usual run.

    Parameters
    ----------
    network : Network
        The network.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or was replaced since the run began.
    ConfigError
        There is no such device here.
    """
    with one_at_a_time:
        load(network).predictor.warm()


def check_hardware(network: Network) -> tuple[str, EngineName]:
    """Refuse a device or an engine that this process does not have. The network is not loaded.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    kind : str
        Type of the device, ``"cpu"`` or ``"cuda"``.
    engine : EngineName
        Engine that runs the network on it.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or has learned no classes yet.
    ConfigError
        There is no such device or engine here.
    """
    card = read_card(network.checkpoint)
    kind = device_type(_as_run(network, card.config).device)
    require_classes(network.checkpoint, card)
    return kind, resolve_engine(network.engine, kind, card.config)


def load(network: Network) -> Loaded:
    """Load a network, unless it lies in memory already.

    Another network of the same engine is dropped before.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    Loaded
        The network in memory.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or was replaced since the run began.
    ConfigError
        There is no such device or engine here.
    """
    kind, engine = check_hardware(network)
    network = replace(_as_run(network, read_card(network.checkpoint).config), engine=engine)
    if engine == "torch":
        use_threads(network.threads)  # the other engine has threads of its own
    if engine in loaded and loaded[engine].network == network:
        return loaded[engine]
    if engine in loaded:
        _unload(engine)
    if checkpoint_hash(network.checkpoint) != network.hash:
        raise CheckpointError(f"{network.checkpoint}: this checkpoint was replaced during the run; run again.")
    loaded[engine] = Loaded(network, _predictor(network, kind))
    return loaded[engine]


def load_to_explain(network: Network) -> Loaded:
    """Load a network for torch, which alone explains, unless it lies in memory for tiles already.

    Parameters
    ----------
    network : Network
        The network. Its engine and its batch do not matter.

    Returns
    -------
    Loaded
        The network in memory, with an ``ExplainingPredictor``.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or was replaced since the run began.
    ConfigError
        There is no such device here.
    """
    if "torch" in loaded:
        network = replace(network, batch=loaded["torch"].network.batch)  # one tile fits into any batch
    return load(replace(network, engine="torch"))


def use_threads(threads: int | None) -> None:
    """Set torch's number of threads in this process.

    Parameters
    ----------
    threads : int or None
        Number of threads. None uses all cores.
    """
    import torch

    # dask starts its workers with OMP_NUM_THREADS=1; only an explicit number undoes that.
    torch.set_num_threads(threads or usable_cores())


def _as_run(network: Network, config: FCtLConfig) -> Network:
    """Return how a network is run: one that came as an ONNX file on the CPU, in a precision of its own."""
    if config.onnx is None:
        return network
    if network.device not in ("auto", "cpu") or network.precision not in ("auto", "fp32"):
        raise ConfigError(
            f"{network.checkpoint}: came as an ONNX file, which is run on the CPU in a precision of its own; leave out "
            "--device and --precision (in Python: device and precision)."
        )
    return replace(network, device="cpu", precision="fp32")


def _unload(engine: EngineName) -> None:
    predictor = loaded.pop(engine).predictor
    predictor.close()
    if predictor.on_gpu:
        import torch

        del predictor
        torch.cuda.empty_cache()


def _predictor(network: Network, device_type: str) -> TilePredictor:
    exact = network.exact_contexts
    if network.engine == "openvino":
        from fctl_napari.segmentation.inference.openvino_predictor import load_openvino

        check_batch(network.batch)
        precision = resolve_precision(network.precision, device_type)
        return load_openvino(network.checkpoint, network.hash, precision, network.threads, exact_contexts=exact)
    from fctl_napari.model.checkpoint import load_checkpoint
    from fctl_napari.model.fctl import FCtL
    from fctl_napari.model.onnx_network import OnnxNetwork
    from fctl_napari.segmentation.inference.explaining_predictor import ExplainingPredictor
    from fctl_napari.segmentation.inference.light_predictor import LightPredictor, take_offered

    if network.batch is None:
        offered = take_offered(network.hash, network.device, network.precision, exact_contexts=exact)
        if offered is not None:
            return offered
    model = load_checkpoint(network.checkpoint)[0]
    options: dict[str, Any] = {
        "device": network.device,
        "precision": network.precision,
        "batch": network.batch,
        "exact_contexts": exact,
    }
    if isinstance(model, OnnxNetwork):
        model.open()  # what is wrong with it is known before the first tile
    if isinstance(model, FCtL) and model.config.light:
        return LightPredictor(model, **options)
    return ExplainingPredictor(model, **options)
