"""An advice as a document, for scripts: every figure with its band, and where it comes from. Pure."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from appliance.capacity.advice import Advice
from appliance.capacity.expense import Band
from appliance.capacity.option import Option
from appliance.capacity.quality import Quality


def as_document(advice: Advice) -> dict[str, Any]:
    """Plain values; what is infinite (no answer came) is null."""
    question = advice.question
    return {
        "load": {**asdict(question.load), "rate_per_s": question.load.rate_per_s, "words": question.load.words},
        "objectives": [str(objective) for objective in question.objectives],
        "seed": question.seed,
        "options": [_option(option, question.load.rate_per_s) for option in advice.options],
        "left_out": [asdict(one) for one in advice.left_out],
        "sensitivity": [_finite(asdict(swing)) for swing in advice.sensitivity],
        "typical_request": asdict(advice.typical),
        "sources": list(advice.sources),
    }


def _option(option: Option, rate_per_s: float) -> dict[str, Any]:
    layout, spent = option.layout, option.expense
    return {
        "team": layout.team.name,
        "models": list(layout.team.models),
        "strategies": {"easy": layout.team.easy, "hard": layout.team.hard},
        "gpus": layout.gpus,
        "gpu": layout.kind.kind,
        "nodes": layout.nodes,
        "engines": [
            {
                "id": engine.engine_id,
                "model": engine.model_id,
                "gpus": [f"{engine.node}/{gpu_id}" for gpu_id in engine.gpu_ids],
                "kv_tokens": engine.kv_tokens,
            }
            for engine in layout.plan.engines
        ],
        "engine_figures": _engine_figures(option),
        "quality": None if layout.team.quality is None else _quality(layout.team.quality),
        "quality_missing": layout.team.quality_missing,
        "latency_s": {name: _band(band) for name, band in option.latency.items()},
        "failed_share": option.failed_share,
        "highest_rate_per_s": option.highest_per_s,
        "surely_missed_rate_per_s": option.missed_per_s,
        "headroom": dict(zip(("held", "surely_missed"), option.headroom(rate_per_s), strict=True)),
        "holds_at_slow_end": option.holds_at_worst,
        "gpus_to_hold_at_slow_end": option.safe_gpus,
        "price_per_hour": layout.price_per_hour,
        "price_per_1000_requests": {"value": spent.money, "source": spent.money_source},
        "energy_wh_per_1000_requests": {**_band(spent.energy_wh), "source": spent.energy_source},
        "bottleneck": option.bottleneck,
        "without_a_node": _finite(asdict(option.loss)),
        "curve": [{"rate_per_s": spot.rate_per_s, **_band(spot.value)} for spot in option.curve],
    }


def _engine_figures(option: Option) -> list[dict[str, Any]]:
    """What each kind of engine costs: measured or not, and how sure."""
    found = {(p.profile.model_id, p.profile.tensor_parallel_size): p.profile for p in option.layout.places}
    return [
        {
            "model": profile.model_id,
            "tensor_parallel_size": profile.tensor_parallel_size,
            "source": profile.source.value,
            "band": profile.step.band,
            "note": profile.note,
        }
        for profile in found.values()
    ]


def _quality(quality: Quality) -> dict[str, Any]:
    return {
        "score": quality.score.as_document(),
        "source": quality.source,
        "by_class": {
            target: {name: interval.as_document() for name, interval in found.items()}
            for target, found in quality.by_class.items()
        },
    }


def _band(band: Band) -> dict[str, float | None]:
    return _finite(asdict(band))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in values.items()}
