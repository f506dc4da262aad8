"""`--budget tokens=800,calls=4`: the most that one question may spend."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.errors import InvalidRequest

_KINDS: dict[str, type[int] | type[float]] = {"calls": int, "tokens": int, "gpu_s": float, "wall_s": float}


def parsed(text: str) -> dict[str, int | float]:
    """The body's `budget` field. Raises InvalidRequest naming the part that is wrong."""
    budget: dict[str, int | float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in _KINDS:
            known = ", ".join(_KINDS)
            raise InvalidRequest(f"--budget: {part.strip()!r} is no limit; write one of {known}, `=` and a number")
        try:
            budget[name] = _KINDS[name](value)
        except ValueError:
            kind = "whole number" if _KINDS[name] is int else "number"
            raise InvalidRequest(f"--budget: {name}: {value!r} is no {kind}") from None
    return budget


BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", help="The most it may spend: any of calls=…,tokens=…,gpu_s=…,wall_s=…, by commas."),
]
