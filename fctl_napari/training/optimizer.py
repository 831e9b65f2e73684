"""Weights and batch norms that are trained, and their optimizer."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from fctl_napari.exceptions import ConfigError
from fctl_napari.training.config import TrainConfig

GATES = ("gamma", "z", "v_pos")


def freeze(model: nn.Module, config: TrainConfig) -> None:
    """Freeze the weights of frozen parts.

    Parameters
    ----------
    model : nn.Module
        The network.
    config : TrainConfig
        The settings: ``frozen`` counts.

    Raises
    ------
    ConfigError
        Nothing in the network has a name that starts so.
    """
    for prefix in config.frozen:
        found = [p for name, p in model.named_parameters() if name.startswith(prefix)]
        if not found:
            raise ConfigError(f"frozen: nothing in the network starts with {prefix!r}; check the name.")
        for parameter in found:
            parameter.requires_grad_(False)


def norms_to_train(model: nn.Module, config: TrainConfig, given: Collection[str]) -> list[str]:
    """Name the batch norms whose statistics are to follow the batches.

    Parameters
    ----------
    model : nn.Module
        The network, with its frozen parts.
    config : TrainConfig
        The settings: ``batch_norm`` counts.
    given : collection of str
        Names of the arrays that did not start at random.

    Returns
    -------
    list of str
        Names of the norms outside of frozen parts. With ``batch_norm = "frozen"`` only those whose statistics were not
        given, as they start with the mean 0 and the variance 1, which no features have.
    """
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        and module.weight.requires_grad
        and (config.batch_norm == "trained" or f"{name}.running_mean" not in given)
    ]


def train_norms(model: nn.Module, config: TrainConfig, names: Collection[str]) -> None:
    """Let the statistics of some batch norms follow the batches, and all others keep theirs.

    Parameters
    ----------
    model : nn.Module
        The network, in training mode.
    config : TrainConfig
        The settings: ``run.gradient_checkpointing`` counts.
    names : collection of str
        Names of the norms that follow the batches.

    Raises
    ------
    ConfigError
        Norms of an encoder would follow batches that are computed twice.
    """
    if config.run.gradient_checkpointing and any(name.startswith("encoders.") for name in names):
        raise ConfigError(
            "run.gradient_checkpointing: batch norms of an encoder that starts at random would count each batch twice; "
            "give encoder_weights or init_from, or do without gradient_checkpointing."
        )
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(name in names)


def make_optimizer(model: nn.Module, config: TrainConfig, heads: nn.Module | None = None) -> torch.optim.Optimizer:
    """Make Adam for the weights that are not frozen: encoders, gates and the rest have learning rates of their own.

    Parameters
    ----------
    model : nn.Module
        The network.
    config : TrainConfig
        The settings.
    heads : nn.Module or None, optional
        Heads that are trained beside it.

    Returns
    -------
    torch.optim.Optimizer
        The optimizer. Each group has its ``base_lr``, which the schedule starts from.
    """
    groups: dict[str, list[nn.Parameter]] = {"encoder": [], "gate": [], "rest": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = "encoder" if name.startswith("encoders.") else "rest"
            groups["gate" if name.rsplit(".", 1)[-1] in GATES else kind].append(parameter)
    if heads is not None:
        groups["rest"] += heads.parameters()
    factors = {"encoder": config.encoder_factor, "gate": config.gate_factor, "rest": 1.0}
    return torch.optim.Adam(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * factors[kind],
                "base_lr": config.learning_rate * factors[kind],
                "weight_decay": 0.0 if kind == "gate" else config.weight_decay,
            }
            for kind, parameters in groups.items()
            if parameters
        ]
    )
