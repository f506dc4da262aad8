from __future__ import annotations

import json
import re

from appliance.coordinator.options import Sampling
from appliance.coordinator.planner import BadPlan, PlanningTask, plan_regex, plan_schema, planner_ask, read_plan
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.task_graph import PlanRejected, TaskGraph

SETS = load_prompt_sets(("starter", "instruct"))
TASK = PlanningTask("Who?", ({"role": "system", "content": 'be "brief"'},), ("math", "text"), 3)
BAD = BadPlan('{"steps', ("not valid JSON",))


def test_the_schema_allows_what_the_parser_allows() -> None:
    schema = plan_schema(("math", "text"), 3)
    steps = schema["properties"]["steps"]
    assert (steps["minItems"], steps["maxItems"]) == (1, 3)
    assert steps["items"]["properties"]["id"]["pattern"] == "^s[0-9A-Za-z]{1,12}$"
    assert steps["items"]["properties"]["skill"]["enum"] == ["math", "text"]
    assert list(steps["items"]["properties"]) == ["id", "skill", "do", "output", "check"]
    assert steps["items"]["required"] == ["id", "skill", "do"]
    assert schema["additionalProperties"] is steps["items"]["additionalProperties"] is False


def test_the_starter_planner_gets_the_bare_question_and_a_fresh_sample() -> None:
    first = planner_ask(SETS["starter"], TASK, Sampling(max_tokens=200), 0.8, 5, None)
    second = planner_ask(SETS["starter"], TASK, Sampling(max_tokens=200), 0.8, 6, BAD)
    assert first.messages == second.messages == ({"role": "user", "content": "Who?"},)
    assert first.max_tokens == 200
    assert first.params["temperature"] == 0.0
    assert (second.params["temperature"], second.params["seed"]) == (0.8, 6)
    assert first.params["structured_outputs"]["regex"] == plan_regex(("math", "text"), 3)
    assert "response_format" not in first.params


def test_the_spelling_is_that_of_json_dumps() -> None:
    regex = re.compile(plan_regex(("math", "te-xt"), 3))
    step = {"id": "s1", "skill": "te-xt", "do": "$s1-5 ä {"}
    for count in range(5):
        assert bool(regex.fullmatch(json.dumps({"steps": [step] * count}, ensure_ascii=False))) is (1 <= count <= 3)
    for bad in ({"id": "1"}, {"skill": "x"}, {"do": ""}, {"do": 'a"b'}, {"do": "a\nb"}):
        assert not regex.fullmatch(json.dumps({"steps": [{**step, **bad}]}))
    assert not regex.fullmatch(json.dumps({"steps": [step]}, separators=(",", ":")))


def test_the_instruct_planner_is_told_the_rules_and_quotes_data() -> None:
    ask = planner_ask(SETS["instruct"], TASK, Sampling(), 0.8, 5, None)
    assert ask.params["response_format"]["json_schema"]["strict"] is True
    system, user = ask.messages
    assert "- math\n- text\n" in system["content"]
    assert "3 at the most" in system["content"]
    assert 'system: "be \\"brief\\""' in user["content"]
    assert user["content"].endswith('user: "Who?"\n')
    repaired = planner_ask(SETS["instruct"], TASK, Sampling(), 0.8, 5, BAD)
    assert '"{\\"steps"' in repaired.messages[1]["content"]
    assert "- not valid JSON" in repaired.messages[1]["content"]
    assert repaired.params["temperature"] == 0.0


def test_plans_are_read_within_the_task_limit() -> None:
    step = '{"id": "s%d", "skill": "math", "do": "1+1"}'
    text = '{"steps": [' + ", ".join(step % n for n in range(4)) + "]}"
    assert isinstance(read_plan(text, TASK), PlanRejected)
    assert isinstance(read_plan('\n{"steps": [' + step % 1 + "]}", TASK), TaskGraph)
