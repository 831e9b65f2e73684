"""A display for the tests of the window, and the small things that many tests share."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fctl_napari.segmentation.jobs import parameters

if TYPE_CHECKING:
    from helpers_commands import Fctl
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

    from fctl_napari.class_colors import Color
    from fctl_napari.model.config import FCtLConfig
    from fctl_napari.model.fctl import FCtL
    from fctl_napari.segmentation.jobs.engine import Engine
    from fctl_napari.segmentation.store.store import Segmentation

# Tests compare to the bit with what torch computes here; OpenVINO has tests of its own.
parameters.ENGINE = parameters.ENGINE._replace(default="torch")

XVFB = pytest.StashKey[subprocess.Popen]()

# fmt: off
LONGEST_FIRST = (
    "test_finetune", "test_viewer", "test_kill", "test_live", "test_openvino", "test_engine", "test_notebooks",
    "test_segment", "test_explore_views", "test_errors", "test_finetune_stopped", "test_train", "test_finetune_widget",
    "test_maps",
    "test_correct", "test_errors_listed", "test_which_image", "test_cli_segment", "test_released", "test_explore",
    "test_worker_process", "test_onnx_export", "test_baselines", "test_ablation_tables", "test_train_baselines",
    "test_four_bands", "test_inherit", "test_demo", "test_frozen_features", "test_cli", "test_stages", "test_gradients",
    "test_correct_disk", "test_cli_train", "test_correct_layers", "test_old_runs", "test_distributed", "test_reader",
    "test_where_next", "test_refiner", "test_remote", "test_ablation_run", "test_correction_files", "test_plain_script",
    "test_errors_layers", "test_convert", "test_weight_init", "test_encoders",
)
"""Files that take longest in all: they are begun first, so that no process is left alone with one at the end."""
# fmt: on


def pytest_configure(config: pytest.Config) -> None:
    """Start Xvfb where there is no display (Qt's offscreen platform cannot show napari's canvas).

    Processes that run tests side by side have one each, so that windows do not take the focus from each other.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a test's processes need not compile the package anew
    sys.dont_write_bytecode = False
    # Two processes and the workers of both have two cores: a thread of torch that spins while it waits takes another's
    # time, and the suite is twice as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Windows of all tests draw with the same shaders, while each test has a cache folder of its own.
    os.environ.setdefault("MESA_SHADER_CACHE_DIR", str(config.cache.mkdir("shaders")))
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores are taken
    elif config.getoption("numprocesses", None):
        return
    if os.environ.get("DISPLAY") or shutil.which("Xvfb") is None:
        return
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        number = pipe.readline().strip()  # written when the server is ready; empty when it died
    if number:
        config.stash[XVFB] = server
        os.environ["DISPLAY"] = f":{number}"
        os.environ["QT_QPA_PLATFORM"] = "xcb"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop our Xvfb."""
    server = config.stash.get(XVFB, None)
    if server is not None:
        server.terminate()
        server.wait(10)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare the garbage collector what is imported and collected, which stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)  # libraries are loaded by tests, too: a hundred thousand objects that stay
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))  # files keep their order, and tests in them


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Say what may run side by side with ``--dist loadfile``."""
    from helpers_scheduling import FilesScheduling

    return FilesScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run the window's tests without a display, rather than let Qt abort the process."""
    if not os.environ.get("DISPLAY") and any(item.get_closest_marker("gui") for item in session.items):
        raise pytest.UsageError("the tests marked 'gui' need a display: install xvfb, or run with -m 'not gui'")


class Server(ThreadingHTTPServer):
    """A web server on this machine: a folder, what was asked of it, and how it answers."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Answers, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[str] = []
        self.sent = 0
        self.ranges = True
        """Whether parts of a file can be had."""
        self.statuses: list[int] = []
        """The next answers are these errors."""
        self.missing = 404
        """The answer where there is nothing."""


class _Answers(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        path = Path(self.translate_path(self.path))
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if self.server.statuses:
            self.send_error(self.server.statuses.pop())
        elif not path.exists():
            self.send_error(self.server.missing)
        elif path.is_dir() or asked is None or not self.server.ranges:
            self.server.sent += 0 if path.is_dir() else path.stat().st_size
            super().do_GET()
        else:
            data = path.read_bytes()
            first, last = asked.groups()
            part = data[-int(last) :] if not first else data[int(first) : int(last) + 1 if last else None]
            self.server.sent += len(part)
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Server]]:
    """``serve(folder)``: a web server of that folder, until the test ends."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers: list[Server] = []

    def start(folder: Path) -> Server:
        server = Server(folder)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session", autouse=True)
def _no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's settings out of the tests, and the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep torch to one thread beside other processes that test.

    A pixel that is explained in this process would otherwise have it use all cores from then on, and two threads that
    wait for each other on a taken core make some tests take twenty times as long.
    """
    from fctl_napari.segmentation.jobs import loaded_networks

    with pytest.MonkeyPatch.context() as patch:
        if hasattr(request.config, "workerinput"):
            patch.setattr(loaded_networks, "usable_cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def tiny_config() -> FCtLConfig:
    """A network that is small and quick, with all three streams, LCF, GPE, MCF and ALE."""
    from fctl_napari.model.config import Context, FCtLConfig

    return FCtLConfig(
        encoder="efficientnet_lite0",
        tile_size=64,
        classes=3,
        contexts=(
            Context(name="local"),
            Context(name="medium", scale=2.0),
            Context(name="large", scale="global"),
        ),
        correlation_stride=16,
        scale_logits=True,
        gate_init=1.0,
        ale="d",
        ale_windows=(3,),
    )


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``make_checkpoint(config, name)``: a checkpoint with random weights: classes red, green, blue.

    ``awake=True``: weights that start at 0 are random, too, and the batch norms have seen images, so that what a tile
    shows gets through every part of the network.
    """
    import torch

    from fctl_napari.model.checkpoint import save_checkpoint
    from fctl_napari.model.classes import ClassInfo, ClassTable
    from fctl_napari.model.fctl import FCtL
    from fctl_napari.model.model_card import Card

    table = ClassTable(
        classes=(
            ClassInfo(name="red", color=(255, 0, 0)),
            ClassInfo(name="green", color=(0, 255, 0)),
            ClassInfo(name="blue", color=(0, 0, 255)),
        )
    )

    def make(config: FCtLConfig, name: str, *, awake: bool = False) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = FCtL(config).eval()
            if awake:
                _awaken(model)
        card = Card(name=name, description="Random weights.", config=config, classes=table, provenance={}, figures={})
        path = tmp_path_factory.mktemp("checkpoint") / f"{name}.safetensors"
        save_checkpoint(path, model, card)
        return path

    return make


def _awaken(model: FCtL) -> None:
    import torch

    size, outer = model.config.tile_size, [context.name for context in model.config.outer_contexts]
    for weights in model.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches
    images = torch.randint(0, 256, ((1 + len(outer)) * 4, 3, 8, 8)).float()
    images = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear").to(torch.uint8)
    tile, *contexts = images.unflatten(0, (1 + len(outer), 4))
    window = torch.tensor([[0.0, 0.0, size, size]]).double().expand(4, -1)
    with torch.no_grad():
        model.train()(tile, dict(zip(outer, contexts, strict=True)), {"tile": window, **dict.fromkeys(outer, window)})
    model.eval()


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_config: FCtLConfig, make_checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint of ``tiny_config`` with random weights: classes red, green, blue."""
    return make_checkpoint(tiny_config, "tiny")


@pytest.fixture(scope="session")
def awake_checkpoint(tiny_config: FCtLConfig, make_checkpoint: Callable[..., Path]) -> Path:
    """Like ``tiny_checkpoint``, with a network whose every part is at work."""
    return make_checkpoint(tiny_config, "awake", awake=True)


@pytest.fixture(scope="session")
def bare_checkpoint(tiny_config: FCtLConfig, make_checkpoint: Callable[..., Path]) -> Path:
    """Like ``tiny_checkpoint``, without GPE and ALE, as the released ones are."""
    return make_checkpoint(tiny_config.model_copy(update={"gpe": False, "ale": "none"}), "bare")


@pytest.fixture(scope="session")
def plain_checkpoint(tiny_config: FCtLConfig, make_checkpoint: Callable[..., Path]) -> Path:
    """Like ``tiny_checkpoint``, without contexts: the paper's baseline."""
    return make_checkpoint(tiny_config.model_copy(update={"contexts": (), "ale": "none"}), "plain")


@pytest.fixture(scope="session")
def make_rgb() -> Callable[..., np.ndarray]:
    """``make_rgb(height, width, seed=0)``: uint8 (height, width, 3), smooth blobs with some noise."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        coarse = random.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
        noise = random.integers(-12, 13, smooth.shape, np.int16)
        return np.clip(smooth.astype(np.int16) + noise, 0, 255).astype(np.uint8)

    return make


@pytest.fixture
def rgb_png(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> Path:
    """A PNG of 200 x 150 px (width x height)."""
    path = tmp_path / "image.png"
    Image.fromarray(make_rgb(150, 200)).save(path)
    return path


@pytest.fixture
def make_segmentation(tmp_path: Path, tiny_config: FCtLConfig) -> Callable[..., Segmentation]:
    """``make_segmentation(labels, ...)``: a stored segmentation of given labels (0 = not computed, k + 1 = class k)."""
    from fctl_napari.imagery.array_pyramid import pyramid_from_array
    from fctl_napari.imagery.pyramid import Georeference, Pyramid
    from fctl_napari.model.classes import ClassInfo, ClassTable
    from fctl_napari.model.model_card import Card
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.segmentation.tiling.grid import TileGrid

    def make(
        labels: np.ndarray,
        *,
        names: tuple[str, ...] = ("red", "green", "blue"),
        colors: Sequence[Color] = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)),
        georeference: Georeference | None = None,
        path: Path | None = None,
        confidence: np.ndarray | None = None,
        image: Pyramid | None = None,
        table: ClassTable | None = None,
    ) -> Segmentation:
        if table is None:
            table = ClassTable(classes=tuple(ClassInfo(name=n, color=c) for n, c in zip(names, colors, strict=False)))
        config = tiny_config.model_copy(update={"classes": len(table.names)})
        blank = np.zeros((*labels.shape, 3), np.uint8)
        segmentation = Segmentation.create(
            path or tmp_path / "made.ome.zarr",
            image=image or pyramid_from_array(blank, georeference=georeference),
            grid=TileGrid(labels.shape, 256, 64),
            card=Card(name="made", config=config, classes=table),
            checkpoint_hash="0" * 64,
            settings={"merge": "crop"},
        )
        for cell in segmentation.missing():
            y0, x0, y1, x1 = segmentation.grid.core(cell)
            block = labels[y0:y1, x0:x1].astype(np.uint8)
            sure = np.full_like(block, 200) if confidence is None else confidence[y0:y1, x0:x1].astype(np.uint8)
            segmentation.write_cell(cell, block, np.where(block > 0, sure, 0).astype(np.uint8))
        segmentation.finish(segmentation.missing())
        return segmentation

    return make


@pytest.fixture
def short_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each step of a fine-tuning be a stage, so that a pause comes before the next step on any machine."""
    monkeypatch.setattr("fctl_napari.segmentation.jobs.stateful_job.STAGE_SECONDS", 0.0)


@pytest.fixture(scope="session")
def command_engine() -> Iterator[Engine]:
    """One worker process for all runs and commands of this process: a start takes seconds."""
    from fctl_napari.segmentation.jobs.engine import Engine

    with Engine(threads=1) as engine:
        yield engine


@pytest.fixture
def fctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command_engine: Engine) -> Fctl:
    """``fctl("info", path)``: run a command in this process, with lines of 200 characters.

    What it computes is computed by ``command_engine``, unless it is given a scheduler.
    """
    from helpers_commands import Outcome

    from fctl_napari.api import running
    from fctl_napari.cli import app as cli
    from fctl_napari.segmentation.jobs import engine as engines

    monkeypatch.setenv("COLUMNS", "200")
    make = engines.Engine

    def lend(scheduler: str | None = None) -> AbstractContextManager[Engine]:
        return make(scheduler) if scheduler else nullcontext(command_engine)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fctl", *map(str, arguments)])
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(engines, "Engine", lend)
            patch.setitem(running._engines, None, command_engine)
            with pytest.raises(SystemExit) as stop:
                cli.main()
        return Outcome(int(stop.value.code or 0), *capsys.readouterr())

    return run
