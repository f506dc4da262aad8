"""Targets as they are written."""

from __future__ import annotations

import pytest

from appliance.errors import ConfigError
from appliance.evaluation.target import SAMPLE_TEMPERATURE, Target, targets_of

MODELS = ("small-1b", "large-70b")


def read(text: str) -> tuple[Target, ...]:
    return targets_of(text, virtual_model="auto", models=MODELS)


def test_every_form() -> None:
    team, high, way, single, votes, best = read(
        "auto, auto@high, auto:cascade@low, small-1b, self-consistency:small-1b@8, self-consistency:auto@3"
    )
    assert (team.body, team.samples) == ({}, 1)
    assert high.body == {"effort": "high"}
    assert way.body == {"strategy": "cascade", "effort": "low"}
    assert single.body == {"temperature": 0.0}
    assert (votes.model, votes.samples, votes.body) == ("small-1b", 8, {"temperature": SAMPLE_TEMPERATURE})
    assert best.votes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no target is named"),
        ("auto,auto", "auto stands twice"),
        ("medium-7b", "neither auto nor a model of the pool"),
        ("auto@enormous", "an effort is one of low, medium, high"),
        ("small-1b@8", "stands with self-consistency: only"),
        ("self-consistency:small-1b", "say how many samples"),
        ("self-consistency:small-1b@1", "say how many samples"),
        ("self-consistency:small-1b:cascade@4", "a strategy stands after the virtual model only"),
        ("Auto!", "not the name of a target"),
    ],
)
def test_each_mistake_names_the_ways(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert said in str(caught.value)
    assert "small-1b, large-70b" in str(caught.value)
