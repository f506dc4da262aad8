from __future__ import annotations

from appliance.coordinator.attempts import Attempt, best, unusable
from appliance.coordinator.sampling import sampled, seed_of
from appliance.coordinator.verifier import Judgement
from appliance.domain.trace import Verdict


def attempt(number: int, probability: float, verdict: Verdict = Verdict.FAIL, usable: bool = True) -> Attempt:
    return Attempt(number, "r", Judgement(verdict, probability, "rule"), usable)


def test_an_accepted_attempt_wins_else_the_likeliest_else_the_earliest() -> None:
    failed = [attempt(1, 0.3), attempt(2, 0.4), attempt(3, 0.4)]
    passed = attempt(4, 0.1, Verdict.PASS)
    assert best([*failed, passed]) is passed
    assert best(failed) is failed[1]
    assert best([]) is None
    assert best([attempt(1, 0.0, usable=False)]) is None


def test_an_unjudged_attempt_is_accepted_but_an_unsure_one_is_not() -> None:
    assert Attempt(1, "r", None).accepted
    assert not attempt(1, 0.5, Verdict.UNSURE).accepted


def test_no_result_is_unusable() -> None:
    assert unusable("", "stop") == "empty result"
    assert unusable("x", "length") == "cut off at max_tokens"
    assert unusable("x", "stop") == ""


def test_seeds_depend_on_all_their_arguments_only() -> None:
    seeds = [seed_of(base, task, n) for base in (1, 2, "q") for task in ("s1", "s10") for n in (1, 2)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(1, "s1", 1) == seeds[0]
    assert sampled(0.0, 3) == {"temperature": 0.0}
