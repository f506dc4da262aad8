"""Sizes as people write them."""

from __future__ import annotations

import re

import typer

_SIZE = re.compile(r"(\d+)\s*([KMGT]i?)?B?\Z")
_THOUSANDS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS = {**_THOUSANDS, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def parsed_bytes(text: str) -> int:
    """`4GiB`, `700MB`, `512M` (thousands), `1048576`. Raises typer.BadParameter."""
    found = _SIZE.match(text.strip())
    if found is None or int(found[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no size; write it like 4GiB, 4GB or 700MiB")
    return int(found[1]) * _UNITS[found[2] or ""]
