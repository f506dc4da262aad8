"""Who calls, what its credential opens, and what may be kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT: Final = "default"
"""The tenant of the key file, and the policy of tenants that name none."""


class Scope(StrEnum):
    """What a credential opens; `gateway/scopes.py` says which paths need which."""

    INFERENCE = "inference"
    TRACES = "traces"
    METRICS = "metrics"
    ADMIN = "admin"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A caller as one credential shows it.

    `keep_content` allows prompts and answers in traces; without it only sizes and times are kept. `labels` are those
    that the data of all its requests bear; a request may add some, and take none away. `policy` names its policy.
    `credential` says in a few words which key, token or certificate it came with; it holds no secret.
    """

    name: str
    keep_content: bool = False
    labels: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    policy: str = DEFAULT
    credential: str = ""
