"""The command line ``fctl``: each command is a few lines over the packages below, which it imports when needed."""

from __future__ import annotations

import errno
import sys
from typing import Any

import typer

from fctl_napari.cli import (
    ablate,
    cache,
    convert,
    corrections,
    data,
    demo,
    evaluate,
    explain,
    export,
    finetune,
    fit_head,
    info,
    model,
    points,
    refine,
    report,
    segment,
    train,
    weights,
)
from fctl_napari.exceptions import FctlError, fault_of, is_of_settings
from fctl_napari.files import output_error

app = typer.Typer(
    help="Segment ultra-high-resolution images with context-aware networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (
    *(demo, info, convert, segment, explain, weights, export, evaluate, points, report, corrections, finetune),
    *(fit_head, refine, data, train, model, ablate, cache),
):
    commands.add_commands(app)


UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Error of what was typed, by typer or by its own copy of click."""


def main() -> None:
    """Run a command.

    An error that the user can mend becomes one sentence on stderr and the exit code 2.
    """
    try:
        sys.exit(app(prog_name="fctl", standalone_mode=False) or 0)
    except FctlError as error:
        sys.exit(_complain(str(error)))
    except UsageError as error:
        sys.exit(_complain(_usage(error)))
    except typer.Abort:
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("stopped; runs keep what is done, and the same command goes on from there.")
        sys.exit(130)
    except OSError as error:
        # A library met a full disk or the like while writing. Other errors of the system are bugs.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        sys.exit(_complain(str(output_error(error.filename or "the output", error))))


def _complain(sentence: str) -> int:
    if sentence:
        print(f"fctl: {sentence}", file=sys.stderr)
    return 2


def _usage(error: Any) -> str:
    """Return what is wrong with what was typed as one sentence; nothing if the help was shown instead."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    if is_of_settings(error.__cause__):
        said = f"{said.partition(': ')[0]}: {fault_of(error.__cause__, named=False)}"
    if error.ctx is not None and said:
        said += f"; {error.ctx.command_path} {error.ctx.help_option_names[0]} says what it takes"
    return said and f"{said[0].lower()}{said[1:]}."


if __name__ == "__main__":
    main()
