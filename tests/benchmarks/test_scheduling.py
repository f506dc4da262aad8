from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from appliance.dispatch.admission import AdmissionLimits
from benchmarks import scheduling
from benchmarks.scheduling_policies import POLICIES
from benchmarks.scheduling_simulation import Conditions, Simulation, simulate
from benchmarks.scheduling_workload import WORKSTATION, Call, Request, Source, Workload, alone_s, full_rate

STANDARD = Workload("standard")
MODEL = WORKSTATION.models["gpt-oss-20b"]


def direct(number: int, at_s: float, answer: int) -> Request:
    return Request(number, at_s, Call("generalist", "gpt-oss-20b", 1000, answer))


def answered_s(*requests: Request, policy: str = "appliance") -> list[float | None]:
    return [d.answered_s for d in Simulation(STANDARD, Conditions(policy), list(requests)).run().doings]


def test_a_call_alone_takes_its_prompt_and_its_steps() -> None:
    request = direct(0, 5.0, 100)
    expected_s = 1000 * MODEL.prefill_s + 100 * MODEL.step_s(1)
    assert alone_s(WORKSTATION, request) == pytest.approx(expected_s)
    assert answered_s(request) == [pytest.approx(5.0 + expected_s)]


def test_two_calls_share_their_steps_and_wait_for_each_others_prompts() -> None:
    both_s = 2 * 1000 * MODEL.prefill_s + 100 * MODEL.step_s(2)
    assert answered_s(direct(0, 0.0, 100), direct(1, 0.0, 100)) == [pytest.approx(both_s)] * 2


def test_a_step_between_two_known_ones() -> None:
    assert MODEL.step_s(6) == pytest.approx((13.61 + 19.33) / 2 / 1000)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_request_is_answered_and_all_its_calls_are_made(policy: str) -> None:
    requests = Source(STANDARD, random.Random(3)).requests(300, 0.9 * full_rate(STANDARD, 2000))
    outcome = Simulation(STANDARD, Conditions(policy), requests).run()
    for doing in outcome.doings:
        assert doing.answered_s is not None
        assert doing.answered_s - doing.request.at_s >= alone_s(WORKSTATION, doing.request) * (1 - 1e-9)
    asked = sorted(call.answer for request in requests for call in request.calls())
    assert sorted(tokens for _, tokens in outcome.ended) == asked


def test_the_same_seed_is_the_same_run_and_equal_requests_are_served_alike() -> None:
    equal = Workload("equal", equal=True)
    rate = 0.9 * full_rate(equal, 100)
    ends = [simulate(equal, Conditions(p), 7, rate, 200).ended for p in ("first come first served", "appliance")]
    assert ends[0] == ends[1]
    assert ends[0] != simulate(equal, Conditions("appliance"), 8, rate, 200).ended


def test_what_cannot_be_answered_in_time_fails() -> None:
    rate = 3 * full_rate(STANDARD, 2000)
    outcome = simulate(STANDARD, Conditions("appliance", AdmissionLimits(), 30.0), 1, rate, 300)
    answered = [d.answered_s - d.request.at_s for d in outcome.doings if d.answered_s is not None]
    assert 0 < len(answered) < 300
    assert max(answered) < 30.0
    assert all(doing.failed for doing in outcome.doings if doing.answered_s is None)


def test_the_whole_benchmark_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "scheduling.json"
    small = ["--seeds", "1", "--requests", "60", "--jobs", "1", "--record", str(record)]
    scheduling.main([*small, "--only", "ahead"])
    scheduling.main([*small, "--only", "deadlines"])
    results = json.loads(record.read_text(encoding="utf-8"))
    assert set(results) == {"ahead", "deadlines"}
    assert results["deadlines"]["machine"]["cores"]
    assert "Answered within 120 s" in capsys.readouterr().out
