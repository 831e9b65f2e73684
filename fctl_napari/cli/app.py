"""The command line ``fctl``: each command is a few lines over the packages below, which it imports when needed."""

from __future__ import annotations

import errno
import sys

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
    info,
    model,
    points,
    refine,
    report,
    segment,
    train,
    weights,
)
from fctl_napari.exceptions import FctlError
from fctl_napari.files import output_error

app = typer.Typer(
    help="Segment ultra-high-resolution images with context-aware networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (
    *(demo, info, convert, segment, explain, weights, export, evaluate, points, report, corrections, finetune, refine),
    *(data, train, model, ablate, cache),
):
    commands.add_commands(app)


def main() -> None:
    """Run a command.

    An error that the user can mend becomes one sentence on stderr and the exit code 2.
    """
    try:
        app()
    except FctlError as error:
        sys.exit(_complain(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # A library met a full disk or the like while writing. Other errors of the system are bugs.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        sys.exit(_complain(output_error(error.filename or "the output", error)))


def _complain(error: FctlError) -> int:
    print(f"fctl: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
