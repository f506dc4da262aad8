"""Turns: who is awake next, that everyone gets a turn, and that nobody thrashes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.engine import EngineState as S
from appliance.domain.fleet import DemandEvent
from appliance.supervisor.turns import Member, Turn, TurnPolicy, Wish, first_turn, next_turn, noted, remembered

POLICY = TurnPolicy(shortest_s=5, longest_s=60, forget_after_s=2)
TURN = Turn("a", given_s=90, reason="")
A = Member("a", S.READY, since_s=100)
B = Member("b", S.ASLEEP, since_s=0, wish=Wish(waiting=1, since_s=101))


def busy(member: Member, in_flight: int = 1) -> Member:
    return replace(member, wish=replace(member.wish, in_flight=in_flight))


@pytest.mark.parametrize(
    ("holder", "now_s", "switches"),
    [
        (A, 104.9, False),
        (A, 105, True),
        (busy(A), 105, False),
        (busy(A), 159.9, False),
        (busy(A), 160, True),
        (replace(A, wish=Wish(waiting=1)), 105, False),
        (replace(A, state=S.WARMING), 500, False),
        (replace(A, state=S.DRAINING), 500, False),
        (replace(A, state=S.FAILED, since_s=93), 94.9, False),
        (replace(A, state=S.FAILED, since_s=93), 95, True),
    ],
)
def test_when_a_turn_ends(holder: Member, now_s: float, switches: bool) -> None:
    turn = next_turn((holder, B), TURN, now_s, POLICY)
    assert (turn.engine_id == "b") == switches
    assert switches or turn is TURN


def test_a_turn_goes_on_while_nobody_else_waits() -> None:
    silent = replace(B, wish=Wish(in_flight=1))
    failed = replace(B, state=S.FAILED)
    assert next_turn((A, silent, failed), TURN, 10_000, POLICY) is TURN


def test_who_waited_longest_is_next_and_a_turn_just_had_counts_as_served() -> None:
    had = Member("c", S.ASLEEP, since_s=103, wish=Wish(waiting=9, since_s=50))
    assert next_turn((A, had, B), TURN, 110, POLICY) == Turn("b", 110, "calls have waited 9.0 s for it")


def test_the_turn_of_an_engine_that_left_the_group_ends() -> None:
    assert next_turn((B,), TURN, 100, POLICY).engine_id == "b"


def test_demand_is_noted_renewed_and_forgotten() -> None:
    wishes = noted({}, [DemandEvent("m", 1, 10), DemandEvent("m", 3, 11, 2), DemandEvent("n", 1, 11)])
    assert wishes["m"] == Wish(3, 2, since_s=10, seen_s=11)
    later = remembered(wishes, 13.5, POLICY)
    assert later == {"m": Wish(0, 2, since_s=10, seen_s=11)}
    again = noted(later, [DemandEvent("m", 1, 14, 2)])
    assert again["m"].since_s == 14
    assert remembered(noted(again, [DemandEvent("m", 0, 15)]), 15, POLICY) == {}


def test_at_the_start_those_that_sleep_in_their_process_come_first() -> None:
    assert first_turn((("a", True), ("b", True), ("c", True)), 0).engine_id == "c"
    assert first_turn((("a", True), ("b", True), ("c", False)), 0).engine_id == "b"
    assert first_turn((("a", True), ("b", False), ("c", False)), 0).engine_id == "a"


SWITCH_S = 3.0
TICK_S = 0.5


@dataclass
class Group:
    """A group that switches in `SWITCH_S`. `load` has by member (when a call comes, how long it takes), in seconds."""

    load: dict[str, list[tuple[float, float]]]
    now_s: float = 0.0
    turn: Turn = field(default_factory=lambda: Turn("a", 0.0, ""))
    state: dict[str, tuple[S, float]] = field(default_factory=dict)
    given: list[tuple[float, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = {name: (S.READY if name == "a" else S.ASLEEP, 0.0) for name in self.load}
        self.waiting: dict[str, list[tuple[float, float]]] = {name: [] for name in self.load}
        self.ends: dict[str, list[float]] = {name: [] for name in self.load}
        self.since: dict[str, float] = dict.fromkeys(self.load, 0.0)

    def member(self, name: str) -> Member:
        state, since_s = self.state[name]
        return Member(name, state, since_s, Wish(len(self.waiting[name]), len(self.ends[name]), self.since[name]))

    def tick(self) -> None:
        """Calls come and end; the turn moves; the awake one drains its calls before the next one wakes."""
        for name in self.load:
            came = [call for call in self.load[name] if self.now_s - TICK_S < call[0] <= self.now_s]
            if came and not self.waiting[name]:
                self.since[name] = self.now_s
            self.waiting[name] += came
            self.ends[name] = [end for end in self.ends[name] if end > self.now_s]
        turn = next_turn([self.member(name) for name in self.load], self.turn, self.now_s, POLICY)
        if turn is not self.turn:
            self.given.append((self.now_s, turn.engine_id))
            self.state[self.turn.engine_id] = (S.ASLEEP, self.now_s)
            self.ends[self.turn.engine_id] = []
            self.turn = turn
            self.state[turn.engine_id] = (S.WARMING, self.now_s)
        state, since_s = self.state[self.turn.engine_id]
        if state is S.WARMING and self.now_s - since_s >= SWITCH_S:
            self.state[self.turn.engine_id] = (S.READY, self.now_s)
        self._serve()
        assert sum(state in {S.READY, S.WARMING} for state, _ in self.state.values()) == 1
        self.now_s += TICK_S

    def _serve(self) -> None:
        name = self.turn.engine_id
        if self.state[name][0] is S.READY:
            free = 2 - len(self.ends[name])
            now, self.waiting[name] = self.waiting[name][:free], self.waiting[name][free:]
            self.ends[name] += [self.now_s + takes_s for _, takes_s in now]
            self.waits += [self.now_s - came_s for came_s, _ in now]
            if not self.waiting[name]:
                self.since[name] = self.now_s


CALLS = st.lists(st.tuples(st.floats(0, 200), st.floats(0.1, 30)), max_size=30)


@settings(deadline=None, max_examples=50)
@given(st.fixed_dictionaries(dict.fromkeys("abcd", CALLS)))
def test_everyone_gets_a_turn_within_a_bound_and_nobody_thrashes(load: dict[str, list[tuple[float, float]]]) -> None:
    group = Group(load)
    longest_wait_s = (len(load) - 1) * (POLICY.longest_s + SWITCH_S + 2 * TICK_S) + SWITCH_S
    for _ in range(int(300 / TICK_S)):
        group.tick()
        for name in load:
            member = group.member(name)
            if member.state is S.ASLEEP and member.wish.waiting:
                assert group.now_s - max(member.wish.since_s, member.since_s) <= longest_wait_s
    gaps = [later - earlier for (earlier, _), (later, _) in zip(group.given, group.given[1:], strict=False)]
    assert all(gap >= POLICY.shortest_s for gap in gaps)


def test_two_hot_models_change_no_more_often_than_the_policy_says() -> None:
    endless = [(float(second), 3.0) for second in range(900)]
    group = Group({"a": endless, "b": endless})
    for _ in range(int(600 / TICK_S)):
        group.tick()
    assert [name for _, name in group.given][:4] == ["b", "a", "b", "a"]
    assert len(group.given) == pytest.approx(600 / (POLICY.longest_s + SWITCH_S), abs=1)
