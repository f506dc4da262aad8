"""Which paths may stand in a bundle. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

ROOMS = frozenset(
    {
        "catalog",
        "chart",
        "config",
        "docs",
        "images",
        "locks",
        "models",
        "policies",
        "routers",
        "sbom",
        "suites",
        "wheels",
    }
)
"""The directories at the top of a bundle."""
LONGEST_PATH = 1024
LONGEST_NAME = 200

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@,~ -]*\Z")
"""No leading dot, so neither `..` nor hidden files; no control characters, no backslash, plain ASCII, so that two names
that look alike are alike on every file system."""


def problem(path: str) -> str:
    """Why `path` may not stand in a bundle; empty where it may."""
    if path.startswith("/"):
        return "it is absolute"
    if len(path) > LONGEST_PATH:
        return f"it is longer than {LONGEST_PATH} characters"
    names = path.split("/")
    for name in names:
        if name in {"", ".", ".."}:
            return f"it has a part {name!r}"
        if len(name) > LONGEST_NAME or not _NAME.match(name) or name.endswith((" ", ".")):
            return f"the part {name[:40]!r} has characters, or a length, that not every file system takes"
    if names[0] not in ROOMS or len(names) < 2:
        return f"it lies in none of {', '.join(sorted(ROOMS))}"
    return ""


def collisions(paths: Iterable[str]) -> Iterator[str]:
    """Pairs of which only one can exist: the same, differing in case alone, or a file where another has a directory.

    A sentence for each, in the order of the paths.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        key = path.casefold()
        if key in files:
            twice = "stands twice" if files[key] == path else f"and {files[key]!r} differ in case alone"
            yield f"{path!r} {twice}"
        elif key in folders:
            yield f"{path!r} is a file, and a directory for {folders[key]!r}"
        files.setdefault(key, path)
        for cut in (index for index, letter in enumerate(path) if letter == "/"):
            folder = path[:cut]
            if folder.casefold() in files:
                yield f"{folder!r} is a file, and a directory for {path!r}"
            if (known := folders.setdefault(folder.casefold(), path)) is not path and known[:cut] != folder:
                yield f"the directories of {path!r} and {known!r} differ in case alone"
