from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.line import Line
from appliance.dispatch.priority import PATIENCE_S, Place, Waiting, next_of, place_of

CALL_S = 5.0

STEP = st.tuples(
    st.sampled_from(["join", "serve", "leave", "work"]),
    st.integers(0, 5),
    st.floats(0.01, 170.0),
    st.none() | st.integers(0, 40),
    st.integers(0, 5),
)


@given(st.lists(STEP, max_size=80))
def test_the_first_is_the_one_that_looking_at_all_finds(steps: list[tuple[str, int, float, int | None, int]]) -> None:
    attained_s = dict.fromkeys(range(6), 0.0)
    known: dict[int, Waiting] = {}

    def now_as(ticket: int) -> Waiting:
        return replace(known[ticket], attained_s=attained_s[int(known[ticket].request_id)])

    def place(ticket: int, now_s: float) -> Place:
        return place_of(now_as(ticket), now_s, CALL_S)

    line: Line[int] = Line(place)
    standing: list[int] = []
    now_s = 0.0
    for number, (kind, request, passed_s, left, after) in enumerate(steps):
        now_s += passed_s
        if kind == "join":
            known[number] = Waiting(str(request), float(request), now_s, now_s + 800.0, 0.0, left, after)
            line.join(number, now_s)
            standing.append(number)
        elif kind == "work":
            attained_s[request] += passed_s
        elif standing:
            gone = line.first(now_s) if kind == "serve" else standing[request % len(standing)]
            assert gone is not None
            line.leave(gone)
            standing.remove(gone)
        expected = standing[next_of([now_as(t) for t in standing], now_s, CALL_S)] if standing else None
        assert (line.first(now_s), len(line)) == (expected, len(standing))


def test_who_left_is_forgotten() -> None:
    line: Line[int] = Line(lambda ticket, _: (False, ticket, 0.0, 0, 0.0, ""))
    for ticket in range(1000):
        line.join(ticket, 0.0)
    for ticket in range(1000):
        line.leave(999 - ticket)
    assert (len(line), line.first(PATIENCE_S)) == (0, None)
    line.join(7, 0.0)
    line.leave(7)
    line.join(7, 1.0)
    assert (len(line), line.first(2.0)) == (1, 7)
