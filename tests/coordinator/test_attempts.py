from __future__ import annotations

from appliance.coordinator.attempts import Attempt, Rejected, best, next_attempt, rejected, unusable
from appliance.coordinator.options import Sampling, Verification
from appliance.coordinator.sampling import sampled, seed_of
from appliance.coordinator.verifier import Judgement
from appliance.domain.trace import Verdict


def attempt(number: int, probability: float, verdict: Verdict = Verdict.FAIL, usable: bool = True) -> Attempt:
    return Attempt(number, "r", Judgement(verdict, probability, "rule"), usable)


def failed(number: int, model_id: str) -> Attempt:
    return Attempt(number, "r", Judgement(Verdict.FAIL, 0.1, "rule"), model_id=model_id)


def schedule(executors: tuple[str, ...], repairs: int, others: int, down: str = "") -> list[tuple[str, float]]:
    """Who makes which attempt at which temperature, when all of them fail and `down` never answers."""
    verification = Verification(repair_attempts=repairs, repair_temperature=0.8, other_model_attempts=others)
    attempts: list[Attempt] = []
    made: list[tuple[str, float]] = []
    while coming := next_attempt(executors, attempts, Sampling(temperature=0.1), verification):
        author = next(model_id for model_id in coming.models if model_id != down)
        made.append((author, coming.temperature))
        attempts.append(failed(len(attempts) + 1, author))
    return made


def test_the_same_model_repairs_then_others_begin_anew() -> None:
    assert schedule(("a",), 2, 1) == [("a", 0.1), ("a", 0.8), ("a", 0.8)]
    assert schedule(("a", "b", "c"), 1, 1) == [("a", 0.1), ("a", 0.8), ("b", 0.1)]
    assert schedule(("a", "b", "c"), 0, 3) == [("a", 0.1), ("b", 0.1), ("c", 0.1), ("b", 0.8)]
    assert schedule(("a", "b"), 1, 0) == [("a", 0.1), ("a", 0.8)]


def test_who_stood_in_for_a_model_that_is_down_is_no_other_model() -> None:
    assert schedule(("a", "b", "c"), 1, 1, down="a") == [("b", 0.1), ("b", 0.8), ("c", 0.1)]


def test_the_latest_rejected_result_is_shown_cut_to_a_bounded_length() -> None:
    assert rejected([]) is None
    last = Attempt(2, "x" * 9_000, Judgement(Verdict.FAIL, 0.0, "rule", "too long"))
    assert rejected([failed(1, "a"), last]) == Rejected("x" * 2_000, "too long")
    assert rejected([Attempt(1, "x", None)]) == Rejected("x", "")


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
