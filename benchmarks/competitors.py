"""Order of the paper's Table 1 on real scenes: every network with the same tiles, steps and augmentation.

    python benchmarks/competitors.py --data SCENES --weights W.pth --csv competitors.csv
    python benchmarks/competitors.py --csv competitors.csv --report

SCENES and W.pth are those of ``when_contexts_pay.py``, whose scenes, classes and measured blocks are used: a network is
measured on scenes that it was not trained on. *Local inference* classifies tiles, *global inference* the whole image
resampled to one tile. Networks whose published weights are not at hand start from random weights, all of them alike;
FCtL and its baseline do so as well (``random start``), and again from W.pth. Budget of all: the same number of steps
of the same tiles, one thread. All learn with Adam at the same rate, which was not tuned for any of them.

A row that is in the table is not trained again.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from when_contexts_pay import (
    CONTEXTS,
    SETS,
    SHALLOW,
    MeasuredTrainer,
    append,
    blocks,
    measure,
    prepare,
    read_rows,
    table_parser,
)

from fctl_napari.evaluation.cost import count_parameters
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import open_scenes

TILE = 64
"""Side of the tile, px."""

BATCH = 8
"""Tiles of a step."""

BLOCKS = 48
"""Blocks that are measured."""

RATE = 1e-3
"""Learning rate of Adam."""

OURS = {
    "width": 128,
    "top_down": True,
    "finest_skip": 2,
    "gate_init": 1.0,
    "context_border": "shift",
    "correlation_stride": 8,
    "ale": "none",
}

NETWORKS: dict[str, dict[str, Any]] = {
    "U-Net": {"preset": "unet", "paper": (37.3, 38.4)},
    "ICNet": {"preset": "icnet", "paper": (35.5, 40.2)},
    "PSPNet": {"preset": "pspnet", "paper": (53.3, 56.6)},
    "DeepLab v3+": {"preset": "deeplabv3plus", "paper": (63.1, 63.5)},
    "SegNet": {"preset": "segnet", "paper": (60.8, 61.2)},
    "FCN-8s": {"preset": "fcn8s", "network": {"fc_channels": 512}, "paper": (71.8, 68.8)},
    "SegFormer B0": {"preset": "segformer_b0", "paper": (None, None)},
    "GLNet": {"preset": "glnet", "paper": (71.6, None)},
    "FCtL without contexts, random start": {"preset": "fctl_lite", "network": OURS | {"contexts": []}},
    "FCtL, random start": {"preset": "fctl_lite", "network": OURS | {"contexts": CONTEXTS}},
    "FCtL without contexts": {"preset": "fctl_lite", "network": OURS | {"contexts": []}, "started": True},
    "FCtL": {"preset": "fctl_lite", "network": OURS | {"contexts": CONTEXTS}, "started": True, "paper": (73.9, None)},
}
"""Networks, with the mean IoU of local and global inference on DeepGlobe in the paper's Table 1, %.

SegFormer is measured there with larger encoders (B2: 74.4 and 54.6). FCN-8s has fc6 and fc7 of 512 channels here, as
4096 are no use for tiles of 64 px.
"""

VIEWS = ("U-Net", "ICNet", "PSPNet", "DeepLab v3+", "SegNet", "FCN-8s", "SegFormer B0")
"""Networks that are measured in global inference too."""

FIELDS = [
    *("set", "fold", "network", "inference", "seed", "steps"),
    *("miou", "accuracy", "iou", "parameters", "seconds"),
]
KEY = FIELDS[:6]


def train_config(row: dict[str, Any], weights: Path) -> TrainConfig:
    """Return the settings of one row."""
    entry = NETWORKS[row["network"]]
    started = entry.get("started", False)
    return TrainConfig(
        name="row",
        seed=row["seed"],
        preset=entry["preset"],
        network={"tile_size": _tile_size(entry), "inference": row["inference"], **entry.get("network", {})},
        encoder_weights=str(weights.absolute()) if started else "",
        data={"layout": "pairs"},
        augment={
            "brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "channel_gain": 0.1, "gamma": 0.3, "scale": 1.4,
        },
        steps=row["steps"],
        batch=BATCH,
        learning_rate=RATE,
        encoder_factor=0.2 if started else 1.0,
        gate_factor=5.0,
        loss="cross_entropy",
        class_weights="inverse_sqrt",
        balanced_tiles=1.0,
        frozen=SHALLOW if started else [],
        save_every=10**6,
        precision="auto",
    )  # fmt: skip


def _tile_size(entry: dict[str, Any]) -> int:
    """Return the nearest side of the tile that the network takes."""
    return TILE - 4 if entry["preset"] == "fcn8s" else TILE


def run(row: dict[str, Any], folder: Path, weights: Path) -> dict[str, Any]:
    """Train and measure one row."""
    held_out = SETS[row["set"]]["folds"][row["fold"]]
    stems = sorted(path.stem for path in (folder / "images").iterdir())
    (folder / "train.txt").write_text("\n".join(stem for stem in stems if stem not in held_out))
    (folder / "val.txt").write_text("\n".join(held_out))
    config = train_config(row, weights)
    measured, _ = open_scenes(config.data, folder)
    parts = blocks([scene for scene in measured if scene.val], BLOCKS)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*random.*")  # said in the table
        trainer = MeasuredTrainer(config, out, data_folder=folder)
        trainer.scenes = [replace(scene, val=()) for scene in trainer.scenes]
        trainer.run()
    seconds = time.process_time() - started
    scores = measure(trainer, parts, TILE)
    return row | {
        "miou": round(scores.miou, 5),
        "accuracy": round(scores.accuracy, 5),
        "iou": json.dumps({k: None if math.isnan(v) else round(v, 4) for k, v in scores.iou.items()}),
        "parameters": count_parameters(trainer.model.config, config.frozen).live,
        "seconds": round(seconds, 1),
    }


def report(rows: Sequence[dict[str, str]]) -> None:
    """Print mean and spread over seeds, beside the paper's figures on DeepGlobe."""
    sets = sorted({row["set"] for row in rows})
    print(f"| network | inference | paper, DeepGlobe | {' | '.join(sets)} | parameters | CPU seconds |")
    print(f"|---|---|---:|{'---:|' * len(sets)}---:|---:|")
    for network, entry in NETWORKS.items():
        for number, inference in enumerate(("local", "global")):
            found = [r for r in rows if r["network"] == network and r["inference"] == inference]
            if not found:
                continue
            paper = entry.get("paper", (None, None))[number]
            cells = []
            for name in sets:
                values = [100 * float(r["miou"]) for r in found if r["set"] == name]
                spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.1f}{spread} ({len(values)})" if values else "")
            cost = f"{statistics.mean(float(r['seconds']) for r in found):.0f}"
            parameters = f"{float(found[0]['parameters']) / 1e6:.1f} M"
            print(f"| {network} | {inference} | {paper or ''} | {' | '.join(cells)} | {parameters} | {cost} |")


def main() -> None:
    """Train the rows that are missing, or print the table."""
    parser = table_parser(__doc__)
    parser.add_argument(
        "--sets", nargs="+", default=["aerial", "dunes", "river"], choices=[n for n in SETS if n != "earth"]
    )
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    if options.report:
        report(read_rows(options.csv))
        return
    if options.data is None or options.weights is None:
        parser.error("--data and --weights are needed")
    torch.set_num_threads(1)
    for name in options.sets:
        folder = prepare(name, options.data, options.prepared)
        for seed in options.seeds:
            for network in options.networks:
                for inference in ("local", "global") if network in VIEWS else ("local",):
                    values = (name, options.fold, network, inference, seed, options.steps)
                    done = {tuple(r[key] for key in KEY) for r in read_rows(options.csv)}
                    if tuple(map(str, values)) not in done:
                        found = run(dict(zip(KEY, values, strict=True)), folder, options.weights)
                        append(options.csv, FIELDS, found)
                        print(*(found[key] for key in FIELDS), flush=True)


if __name__ == "__main__":
    main()
