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
from appliance.coordinator.strategy_options import BestOfNOptions, CascadeOptions, SelfConsistencyOptions
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
    options = coordinator_options(load(written(tmp_path, {}), {}))
    assert options.efforts == DEFAULT_EFFORTS
    assert options.cascade == CascadeOptions()
    assert options.best_of_n == BestOfNOptions()
    assert options.self_consistency == SelfConsistencyOptions()


def test_an_effort_bounds_what_a_cascade_goes_on_with_and_how_much_is_drawn(tmp_path: Path) -> None:
    options = coordinator_options(load(written(tmp_path, {"cascade": {"then": "best_of_n"}}), {}))
    assert [options.at(effort).cascade.then for effort in Effort] == [None, "best_of_n", "best_of_n"]
    assert [options.at(effort).best_of_n.candidates for effort in Effort] == [4, 4, 8]
    assert [options.at(effort).self_consistency.samples for effort in Effort] == [5, 5, 10]


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
        ({"cascade": {"models": ["b"]}}, "coordinator.cascade.models: b is not in the pool"),
        ({"best_of_n": {"models": ["b"]}}, "coordinator.best_of_n.models: b is not in the pool"),
        ({"self_consistency": {"models": ["b"]}}, "coordinator.self_consistency.models: b is not in the pool"),
        ({"cascade": {"then": "magic"}}, "coordinator.cascade.then: there is no strategy magic"),
        ({"cascade": {"then": "cascade"}}, "coordinator.cascade.then: a cascade can't go on with itself"),
        ({"cascade": {"then": "plan_execute_verify"}}, "coordinator.cascade.then: nobody plans"),
        ({"best_of_n": {"candidates": 1}}, "coordinator.best_of_n.candidates: "),
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
