"""Which paths need which scope: the one table, asked before routing, by the path that ASGI routes on."""

from __future__ import annotations

import re
from typing import Final

from appliance.domain.tenant import ALL_SCOPES, Scope, Tenant
from appliance.errors import NotAllowed

_OPERATORS: Final = frozenset({Scope.METRICS, Scope.ADMIN})

_TABLE: Final[tuple[tuple[re.Pattern[str], tuple[frozenset[Scope], ...]], ...]] = tuple(
    (re.compile(pattern), needs)
    for pattern, needs in (
        (r"/v1/traces/[^/]+/replay", (frozenset({Scope.TRACES}), frozenset({Scope.INFERENCE}))),
        (r"/v1/traces(/.*)?", (frozenset({Scope.TRACES}),)),
        (r"/v1/usage", (frozenset({Scope.TRACES, Scope.ADMIN}),)),
        (r"/v1/models(/.*)?|/openapi\.json|/ready|/health", (ALL_SCOPES,)),
        (r"/metrics|/fleet", (_OPERATORS,)),
        (
            r"/v1/(chat/completions|completions|embeddings|rerank|score|responses|plan)|/(de)?tokenize",
            (frozenset({Scope.INFERENCE}),),
        ),
    )
)
"""Path → scopes, of each group any one. Whatever is not in the table needs `admin`."""

_OTHERS: Final = (frozenset({Scope.ADMIN}),)

_INFERENCE: Final = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/responses"}
)
"""The paths that are asked for most."""


def needed(path: str) -> tuple[frozenset[Scope], ...]:
    """The scopes that a path needs: one of each group."""
    return next((needs for pattern, needs in _TABLE if pattern.fullmatch(path)), _OTHERS)


def check(tenant: Tenant, path: str) -> None:
    """Raises NotAllowed where the credential does not open the path."""
    if path in _INFERENCE and Scope.INFERENCE in tenant.scopes:
        return
    for group in needed(path):
        if not group & tenant.scopes:
            wanted = " or ".join(sorted(group))
            has = ", ".join(sorted(tenant.scopes)) or "none"
            raise NotAllowed(
                f"scope {wanted} is needed here, and this credential has {has}; use another one, or have one made with "
                f"`appliance keys create --scope {sorted(group)[0]}`"
            )
