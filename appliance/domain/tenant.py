"""Who calls, and what may be kept of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """A caller. `keep_content` allows prompts and answers in traces; without it only sizes and times are kept.

    `labels` are those that the data of all its requests bear; a request may add some, and take none away.
    """

    name: str
    keep_content: bool = False
    labels: frozenset[str] = frozenset()
