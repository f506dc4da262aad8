"""The declared smaller plans of a request, from the whole one down: what each step leaves out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from appliance.coordinator.options import CoordinatorOptions
from appliance.domain.strategy import BEST_OF_N, PLAN_EXECUTE, PLANNED, SELF_CONSISTENCY

WHOLE = ""
FEWER_CANDIDATES = "fewer candidates"
NO_REPAIRS = "no repairs"
NO_VERIFICATION = "no verification"


def rungs(strategy: str, options: CoordinatorOptions) -> Iterator[tuple[str, CoordinatorOptions]]:
    """Steps and the options under them; each step keeps what the ones before it left out. The first is the whole."""
    if strategy == PLAN_EXECUTE:
        options = options.unverified()
    yield WHOLE, options
    if fewer := _fewer_candidates(strategy, options):
        yield FEWER_CANDIDATES, fewer
    verification = options.verification
    if strategy in PLANNED:
        if verification.repair_attempts or verification.replans:
            verification = replace(verification, repair_attempts=0, replans=0)
            yield NO_REPAIRS, replace(options, verification=verification)
        if verification.enabled and options.roles.verifier:
            yield NO_VERIFICATION, replace(options, verification=replace(verification, enabled=False))


def _fewer_candidates(strategy: str, options: CoordinatorOptions) -> CoordinatorOptions | None:
    """Two to choose between, three to vote; None where there are no more than that."""
    best, consistent = options.best_of_n, options.self_consistency
    if strategy == BEST_OF_N and best.candidates > 2:
        return replace(options, best_of_n=replace(best, candidates=2))
    if strategy == SELF_CONSISTENCY and consistent.samples > 3:
        return replace(options, self_consistency=replace(consistent, samples=3))
    return None
