"""The declared smaller plans of a request, from the whole one down: what each step leaves out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from appliance.coordinator.options import CoordinatorOptions
from appliance.domain.strategy import PLAN_EXECUTE_VERIFY

WHOLE = ""
NO_REPAIRS = "no repairs"
NO_VERIFICATION = "no verification"


def rungs(strategy: str, options: CoordinatorOptions) -> Iterator[tuple[str, CoordinatorOptions]]:
    """Steps and the options under them; each step keeps what the ones before it left out. The first is the whole."""
    yield WHOLE, options
    verification = options.verification
    if strategy == PLAN_EXECUTE_VERIFY:
        if verification.repair_attempts or verification.replans:
            verification = replace(verification, repair_attempts=0, replans=0)
            yield NO_REPAIRS, replace(options, verification=verification)
        if verification.enabled and options.roles.verifier:
            yield NO_VERIFICATION, replace(options, verification=replace(verification, enabled=False))
