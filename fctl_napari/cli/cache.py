"""The cache folder of pyramids: ``fctl cache info``, ``clear``, ``limit``."""

from __future__ import annotations

from typing import Annotated

import typer

from fctl_napari.cli.options import JsonOption

KINDS = {
    "pyramid": "pyramid",
    "array": "pyramid of an array",
    "labels": "levels of a ground truth",
    "sample": "sample scene",
    "network": "network for OpenVINO",
}
SOURCES = {
    "environment": "FCTL_CACHE_LIMIT says so",
    "chosen": "chosen with fctl cache limit",
    "default": "50 GB, or a fifth of the disk if that is less",
}


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    cache_app = typer.Typer(
        no_args_is_help=True, help="The cache folder: pyramids of images beside which nothing can be written."
    )
    cache_app.command()(info)
    cache_app.command()(clear)
    cache_app.command()(limit)
    app.add_typer(cache_app, name="cache")


def info(json_file: JsonOption = None) -> None:
    """Say where the cache lies, how large it is and may be, and what it holds."""
    from datetime import datetime

    from fctl_napari.cache.entries import cache_path, entries, folder_size
    from fctl_napari.cache.limit import cache_limit
    from fctl_napari.cache.use import in_use
    from fctl_napari.cli.facts import show_facts
    from fctl_napari.cli.output import out
    from fctl_napari.files import write_json
    from fctl_napari.words import count_of, size_of

    allowed, source = cache_limit()
    found = [(entry, entry.size) for entry in entries()]
    total = sum(size for _, size in found)
    others = folder_size(cache_path()) - total
    facts = {
        "folder": str(cache_path()),
        "limit": f"{size_of(allowed)} ({SOURCES[source]})",
        "holds": f"{size_of(total)} in {count_of(len(found), 'folder')}",
    }
    if others:
        facts["besides"] = f"{size_of(others)} of results, corrections and the like, which are never removed"
    show_facts(facts)
    for entry, size in reversed(found):
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        state = ", in use" if in_use(entry.path) else ""
        words = f"{size_of(size):>9}  used {used}{state}  {KINDS[entry.kind]}  {entry.of or entry.path.name}"
        out.print(words, highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        document = [
            {
                "path": str(entry.path),
                "kind": entry.kind,
                "of": entry.of,
                "bytes": size,
                "used": datetime.fromtimestamp(entry.used).astimezone().isoformat(timespec="seconds"),
                "in_use": in_use(entry.path),
            }
            for entry, size in reversed(found)
        ]
        write_json(
            json_file,
            {
                "folder": str(cache_path()),
                "limit_bytes": allowed,
                "limit_source": source,
                "bytes": total,
                "other_bytes": others,
                "entries": document,
            },
        )


def clear(
    image: Annotated[
        str | None,
        typer.Argument(metavar="[IMAGE]", help="Only what was made of this file or address, or a path in the cache."),
    ] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", min=0, help="Only what was not used for so long.")
    ] = None,
) -> None:
    """Remove pyramids from the cache that can be made again; never results, corrections, or what is in use."""
    from fctl_napari.cache.clearing import clear_cache
    from fctl_napari.cli.output import out, say
    from fctl_napari.words import count_of, size_of

    removals = clear_cache(image, older_than)
    say(f"{one.entry.path}: stays, as {one.kept}." for one in removals if one.kept)
    gone = [one for one in removals if not one.kept]
    for one in gone:
        words = f"{size_of(one.size):>9}  {KINDS[one.entry.kind]}  {one.entry.of or one.entry.path.name}"
        out.print(words, highlight=False, markup=False, soft_wrap=True)
    freed = size_of(sum(one.size for one in gone))
    out.print(f"{count_of(len(gone), 'folder')} removed, {freed} free again" if gone else "nothing was removed")


def limit(
    size: Annotated[
        str | None, typer.Argument(metavar="[SIZE]", help="Like 20GB; default: the usual one.  [none: say it]")
    ] = None,
) -> None:
    """Set how large the cache may grow; what was used longest ago makes room for what is new."""
    from fctl_napari.cache.limit import VARIABLE, cache_limit, parse_size, remember_limit
    from fctl_napari.cli.output import out, say
    from fctl_napari.words import size_of

    if size is not None:
        remember_limit(None if size == "default" else parse_size(size, "SIZE"))
    allowed, source = cache_limit()
    if size is not None and source == "environment":
        say([f"{VARIABLE} is set, and counts in place of {size} until it is not."])
    out.print(f"{size_of(allowed)} ({SOURCES[source]})", highlight=False)
