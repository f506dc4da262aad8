"""Rules, efforts and further strategies in a configuration: what they become, and what is refused by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.strategies import load_strategies
from appliance.config import load
from appliance.coordinator.routing_options import DEFAULT_EFFORTS, Condition, Rule
from appliance.coordinator.run import Run
from appliance.coordinator.strategies import default_strategies
from appliance.domain.request import ContentDelta, Effort
from appliance.domain.strategy import BUILT_IN, PASSTHROUGH
from appliance.errors import ConfigError

HERE = "tests.bootstrap.test_strategies"


class Fixed:
    """A strategy as somebody else may write one."""

    async def answer(self, run: Run) -> str:
        run.say(ContentDelta("42"))
        return "stop"


class NoStrategy:
    def answer(self) -> str:
        return "42"


def written(tmp_path: Path, coordinator: dict[str, Any]) -> Path:
    file = tmp_path / "appliance.yaml"
    document = {
        "models": {"catalog": "catalog", "store": "store"},
        "pool": [{"model": "a", "engine": {"kv_cache_memory_bytes": 1_000_000}}],
        "roles": {"generalist": ["a"]},
        "coordinator": coordinator,
    }
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def test_every_built_in_name_has_a_strategy() -> None:
    assert set(default_strategies()) == {*BUILT_IN, PASSTHROUGH}


def test_a_further_strategy_is_one_file_and_one_line(tmp_path: Path) -> None:
    said = {"strategies": {"fixed": f"{HERE}:Fixed"}, "easy": "fixed", "rules": [{"name": "all", "use": "fixed"}]}
    settings = load(written(tmp_path, said), {})
    assert isinstance(load_strategies(settings)["fixed"], Fixed)
    assert coordinator_options(settings).easy == "fixed"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("no.such.module:Class", "No module named"),
        (f"{HERE}:Missing", "has no attribute 'Missing'"),
        (f"{HERE}:written", "missing 2 required positional arguments"),
        (f"{HERE}:NoStrategy", "has no `async def answer"),
    ],
)
def test_a_strategy_that_cant_be_made_is_named_by_file_and_key(tmp_path: Path, place: str, words: str) -> None:
    file = written(tmp_path, {"strategies": {"mine": place}})
    with pytest.raises(ConfigError) as error:
        load_strategies(load(file, {}))
    assert str(error.value).startswith(f"{file}: coordinator.strategies.mine: {place} ")
    assert words in str(error.value)


def test_rules_and_efforts_become_options(tmp_path: Path) -> None:
    when = {"tenants": ["acme"], "labels": ["code"], "effort": ["high"], "min_prompt_chars": 9, "pattern": "why"}
    said = {"rules": [{"name": "r", "when": when, "use": "direct"}], "effort": {"high": {"budget_factor": 3}}}
    options = coordinator_options(load(written(tmp_path, said), {}))
    wanted = Condition(("acme",), ("code",), (Effort.HIGH,), min_prompt_chars=9, pattern="why")
    assert options.rules == (Rule("r", "direct", wanted),)
    assert options.at(Effort.HIGH).budget.calls == 3 * options.budget.calls
    assert options.at(Effort.HIGH).verification.repair_attempts == 2 * options.verification.repair_attempts
    assert not options.at(Effort.LOW).verification.enabled
    assert options.at(Effort.MEDIUM).budget == options.budget


def test_the_defaults_of_the_code_are_those_of_the_configuration(tmp_path: Path) -> None:
    assert coordinator_options(load(written(tmp_path, {}), {})).efforts == DEFAULT_EFFORTS


ANY = {"name": "any", "use": "direct"}
CODE = {"name": "code", "use": "direct", "when": {"labels": ["code"]}}


@pytest.mark.parametrize(
    ("coordinator", "words"),
    [
        ({"easy": "magic"}, "coordinator.easy: there is no strategy magic; known: direct, "),
        ({"orchestrated": "magic"}, "coordinator.orchestrated: there is no strategy magic"),
        ({"effort": {"low": {"strategies": ["magic"]}}}, "coordinator.effort.low.strategies: there is no strategy"),
        ({"rules": [CODE, {"name": "r", "use": "magic"}]}, "coordinator.rules.1.use: there is no strategy magic"),
        ({"rules": [{**CODE, "when": {"pattern": "("}}]}, "coordinator.rules.0.when.pattern: '(' is no regular expre"),
        ({"direct": {"cues": ["a", "["]}}, "coordinator.direct.cues.1: '[' is no regular expression"),
        ({"rules": [ANY, CODE]}, "coordinator.rules.1: it can't be reached, since rule any before it"),
        ({"rules": [CODE, {**CODE, "name": "again"}]}, "coordinator.rules.1: it can't be reached, since rule code"),
        ({"rules": [CODE, {**ANY, "name": "code"}]}, "coordinator.rules.1.name: code stands twice"),
        (
            {"rules": [{**CODE, "when": {"min_prompt_chars": 9, "max_prompt_chars": 8}}]},
            "coordinator.rules.0.when: min_prompt_chars is more than max_prompt_chars",
        ),
        ({"strategies": {"direct": f"{HERE}:Fixed"}}, "coordinator.strategies.direct: the house has a strategy"),
        ({"strategies": {"mine": "no colon"}}, "coordinator.strategies.mine: "),
    ],
)
def test_what_cant_be_meant_so_is_named_by_file_and_key(
    tmp_path: Path, coordinator: dict[str, Any], words: str
) -> None:
    file = written(tmp_path, coordinator)
    with pytest.raises(ConfigError) as error:
        load(file, {})
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)
