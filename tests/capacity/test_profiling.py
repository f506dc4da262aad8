"""The profiler against simulated engines whose costs are known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import pytest

from appliance.bench.connection import Target
from appliance.bench.dialogue import Dialogues, OpenPhase, Phase
from appliance.bench.records import RequestRecord
from appliance.capacity.engine_profile import EngineProfile, Source, StepCost
from appliance.capacity.profiling import Effort, Profiler, Subject
from appliance.capacity.setup import Arrival, EnginePlace, Setup
from appliance.capacity.simulator import simulate
from appliance.errors import EngineUnavailable
from tests.capacity.profiles import STEP, direct, engine

DOOR_S = 0.0015
CALL_CPU_S = 0.005
TEMPLATE = 6
UNKNOWN = StepCost(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Pool:
    """Answers as simulated engines on one device would. `failing` models answer nothing.

    The door lets calls that come at once in one after the other, `each_s` apart.
    """

    engines: Sequence[EngineProfile]
    device: str = "cpu"
    failing: str = ""
    each_s: float = 0.0
    seen: list[str] = field(default_factory=list)
    fields: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    server_cpu_s: dict[str, float] = field(default_factory=dict)

    async def __call__(
        self, target: Target, phases: Sequence[Phase], dialogues: Dialogues
    ) -> tuple[RequestRecord, ...]:
        (phase,) = phases
        assert isinstance(phase, OpenPhase)
        asked = [dialogues.dialogue(number) for number in range(len(phase.dues_s))]
        texts = [str(each.turns[0][0]["content"]) for each in asked]
        self.seen += texts
        self.fields |= {each.model: each.fields for each in asked}
        costs = {each.model_id: each for each in self.engines}
        for each in asked:
            took_s = CALL_CPU_S + costs[each.model].server_token_s * (each.fields["max_tokens"] - 1)
            self.server_cpu_s[each.model] = self.server_cpu_s.get(each.model, 0.0) + took_s
        prompts = [TEMPLATE + len(text.split()) for text in texts]
        setup = Setup(tuple(EnginePlace(e.model_id, e, self.device) for e in self.engines))
        doors_s = [DOOR_S + self.each_s * number for number in range(len(asked))]
        arrivals = [
            Arrival(at_s + door_s, "t", direct(each.model, prompt, each.fields["max_tokens"]))
            for at_s, door_s, each, prompt in zip(phase.dues_s, doors_s, asked, prompts, strict=True)
        ]
        return tuple(
            RequestRecord(
                number,
                0,
                "load",
                each.kind,
                each.model,
                False,
                "id",
                due_s,
                due_s,
                times.ended_s or 0.0,
                sent_s=due_s,
                first_event_s=times.first_s,
                prompt_tokens=prompt,
                completion_tokens=each.fields["max_tokens"],
                error="broken" if each.model == self.failing else "",
                trace_id=str((times.ended_s or 0.0) - due_s - doors_s[number]),
            )
            for number, (due_s, each, times, prompt) in enumerate(
                zip(phase.dues_s, asked, simulate(setup, arrivals).requests, prompts, strict=True)
            )
        )


def profiler_of(pool: Pool) -> Profiler:
    effort, known = Effort(20, 1, settles_s=0.0), {each.model_id: 0.0 for each in pool.engines}
    return Profiler(Target("http://localhost"), effort, lambda _: None, float, lambda: known | pool.server_cpu_s, pool)


def profiled(
    pool: Pool, *, devices: Sequence[str] = ("cpu", "cpu"), profiler: Profiler | None = None
) -> tuple[EngineProfile, ...]:
    subjects = [
        Subject(replace(known, step=UNKNOWN, call_s=0.0, device_share=1.0, source=Source.UNMEASURED), device)
        for known, device in zip(pool.engines, devices, strict=False)
    ]
    return asyncio.run((profiler or profiler_of(pool)).profiles(subjects))


def test_costs_are_learnt_through_the_door() -> None:
    true = engine(call_s=0.004, max_num_seqs=16, kv_tokens=20_000, max_num_batched_tokens=1024)
    pool = Pool([true])

    (found,) = profiled(pool)

    assert astuple(found.step)[:4] == pytest.approx(astuple(STEP)[:4], rel=0.05)
    assert found.call_s == pytest.approx(0.004, rel=0.05)  # without the door's part
    assert found.source is Source.MEASURED
    assert found.step.band < 0.01
    long = [text for text in pool.seen if len(text) > 40]
    assert len(set(long)) == len(long) > 50  # no prompt twice: no cache knows any


def test_the_server_of_an_engine_is_told_from_its_steps() -> None:
    true = engine(call_s=0.002, server_s=0.01, max_num_seqs=16, kv_tokens=20_000, max_num_batched_tokens=1024)

    (found,) = profiled(Pool([true]))

    assert found.server_s == pytest.approx(0.01, rel=0.1)
    assert found.call_s == pytest.approx(0.002, abs=0.001)


def test_what_tokens_take_of_a_server_is_told_from_what_calls_take() -> None:
    true = engine(server_token_s=0.0007, max_num_seqs=16, kv_tokens=20_000)

    (found,) = profiled(Pool([true]))

    assert found.server_token_s == pytest.approx(0.0007, rel=0.01)


def test_every_engine_has_its_turn_in_each_round() -> None:
    pool = Pool([engine("a", kv_tokens=20_000), engine("b", kv_tokens=20_000)])
    profiler, told = profiler_of(pool), list[str]()
    profiler.effort, profiler.tell = Effort(8, 3, settles_s=0.0), told.append

    profiled(pool, profiler=profiler)

    rounds = [(line[0], line[-1]) for line in told if "load 1 of 8" in line]
    assert rounds == [(name, time) for time in "123" for name in "ab"]


def test_an_engine_whose_loads_take_long_is_not_measured_again() -> None:
    pool = Pool([engine("a", kv_tokens=20_000), engine("b", kv_tokens=20_000)])
    profiler, told = profiler_of(pool), list[str]()
    profiler.effort, profiler.tell = Effort(8, 3, engine_s=0.0, settles_s=0.0), told.append

    profiled(pool, profiler=profiler)

    assert [line[0] for line in told if "load 1 of 8" in line] == ["a", "b"]


def test_a_server_that_does_not_tell_is_taken_to_do_nothing_for_tokens() -> None:
    pool = Pool([engine(max_num_seqs=16, kv_tokens=20_000)])
    profiler = profiler_of(pool)
    profiler.server_cpu_s = dict

    assert profiled(pool, profiler=profiler)[0].server_token_s == 0.0


def test_calls_ask_for_what_their_role_asks_for() -> None:
    pool = Pool([engine("a"), engine("b")])
    wanted = {"logprobs": True, "top_logprobs": 10}
    subjects = [Subject(pool.engines[0], "gpu0", wanted), Subject(pool.engines[1], "gpu1")]

    asyncio.run(profiler_of(pool).profiles(subjects))

    assert pool.fields["a"].items() >= wanted.items()
    assert "logprobs" not in pool.fields["b"]


def test_the_door_is_measured_by_calls_that_are_alone() -> None:
    pool = Pool([engine(call_s=0.004, max_num_seqs=16, kv_tokens=20_000, max_model_len=768)], each_s=0.02)
    profiler = profiler_of(pool)

    profiled(pool, profiler=profiler)

    assert profiler.door_s == pytest.approx(DOOR_S)


def test_engines_that_share_a_device_are_measured_together() -> None:
    shared = [engine(name, device_share=0.8, max_num_seqs=8) for name in ("a", "b")]

    found = profiled(Pool(shared))

    assert [each.device_share for each in found] == pytest.approx([0.8, 0.8], rel=0.05)
    assert [each.server_share for each in found] == [each.device_share for each in found]  # one thread each
    on_a_gpu = profiled(Pool(shared, device="gpu0"), devices=("gpu0", "gpu0"))
    assert [each.server_share for each in on_a_gpu] == [0.0, 0.0]


def test_engines_with_devices_of_their_own_are_not() -> None:
    pool = Pool([engine("a"), engine("b")])

    assert [each.device_share for each in profiled(pool, devices=("gpu0", "gpu1"))] == [1.0, 1.0]


def test_an_engine_that_does_not_answer_is_named() -> None:
    with pytest.raises(EngineUnavailable, match="b could not be measured: broken; see `appliance status`"):
        profiled(Pool([engine("a"), engine("b")], failing="b"))
