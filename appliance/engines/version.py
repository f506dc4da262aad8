"""The version of vLLM that an interpreter would run, read from its files: starting it would take seconds."""

from __future__ import annotations

import re
from pathlib import Path

OLDEST = (0, 32)
"""Older ones have known holes (remote code from a model's repository in spite of the setting, media that run code)."""

_PLACES = ("lib*/python3*/site-packages", "lib*/python3*/dist-packages", "local/lib*/python3*/dist-packages")
"""Of a virtual environment, and of Debian's own Python, which container images of vLLM use."""

_VERSION = re.compile(r"^__version__\s*=.*?['\"]([^'\"]+)['\"]", re.MULTILINE)


def installed_version(python: Path) -> str | None:
    """As vLLM's log says it, without a local part (`+cpu`); None where its environment can't be read."""
    environment = python.absolute().parent.parent  # not resolve(): a virtual environment's interpreter is a link
    for file in (f for place in _PLACES for f in sorted(environment.glob(f"{place}/vllm/_version.py"))):
        try:
            found = _VERSION.search(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if found is not None:
            return found[1].partition("+")[0]
    return None


def too_old(version: str) -> bool:
    """Whether a version must not be run; one that can't be read is not."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST
