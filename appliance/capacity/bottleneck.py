"""What gives way first when more requests come: the engines that compute most, and what they do then. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.layout import Layout
from appliance.capacity.outcome import EngineUse
from appliance.capacity.prediction import Prediction
from appliance.capacity.team import Team

OFTEN: Final = 0.01
"""Preemptions per call from which on the KV cache is what is short."""


def bottleneck(layout: Layout, above: Prediction) -> str:
    """In a sentence. `above` is the load at which the objectives have just ceased to hold."""
    busy = _busy_models(layout, above.busy)
    model_id = max(busy, key=lambda name: busy[name])
    uses = [use for outcome in above.outcomes for use in outcome.engines if use.model_id == model_id]
    profile = next(place.profile for place in layout.places if place.profile.model_id == model_id)
    engines = sum(place.profile.model_id == model_id for place in layout.places)
    shared = _shares_devices(layout, model_id)
    beside = f", which share{'s' if engines == 1 else ''} GPUs with other models" if shared else ""
    who = "the only engine" if engines == 1 else f"the {engines} engines"
    return (
        f"{who} of {model_id}{beside}: busy {busy[model_id]:.0%} of the time at {above.rate_per_s:.3g} requests/s; "
        f"{_cause(layout.team, profile, uses)}"
    )


def _busy_models(layout: Layout, busy: Mapping[str, float]) -> dict[str, float]:
    """Model → the part of the time that its engines compute, on average."""
    found: dict[str, list[float]] = {}
    for place in layout.places:
        found.setdefault(place.profile.model_id, []).append(busy.get(place.engine_id, 0.0))
    return {model_id: sum(shares) / len(shares) for model_id, shares in found.items()}


def _shares_devices(layout: Layout, model_id: str) -> bool:
    mine = {place.device for place in layout.places if place.profile.model_id == model_id}
    return any(place.device in mine and place.profile.model_id != model_id for place in layout.places)


def _cause(team: Team, profile: EngineProfile, uses: list[EngineUse]) -> str:
    calls, preemptions = sum(use.calls for use in uses), sum(use.preemptions for use in uses)
    if preemptions > OFTEN * max(1, calls):
        return f"their KV cache is too small: {preemptions} of {calls} calls were set back"
    prompts, answers = _tokens(team, profile.model_id)
    prefill = prompts * profile.step.prefill_token_s
    decode = answers * profile.step.fixed_s / max(1, profile.max_num_seqs // 4)
    if prefill > decode:
        return "reading prompts takes most of it: arithmetic is short"
    return "writing answers takes most of it: memory bandwidth is short"


def _tokens(team: Team, model_id: str) -> tuple[float, float]:
    """Prompt and answer tokens of the model's calls, over all samples."""
    calls = [c for sample in team.trees.values() for tree in sample for c in tree.calls if c.model_id == model_id]
    return float(sum(c.prompt_tokens for c in calls)), float(sum(c.completion_tokens for c in calls))
