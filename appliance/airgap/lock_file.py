"""Lock files of Python packages: names, versions, and the digests that are allowed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package at one version; `name` is normalized."""

    name: str
    version: str
    digests: frozenset[str]


def normalized(name: str) -> str:
    """As the Python Package Index compares names (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def read_lock(text: str) -> Iterator[Pin]:
    """The pins of a file as `pip install --require-hashes` takes it."""
    for line in text.replace("\\\n", " ").splitlines():
        if found := _PIN.match(line.strip()):
            yield Pin(normalized(found[1]), found[2], frozenset(_HASH.findall(line)))
