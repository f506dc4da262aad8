"""Shares of tenants that wait: who is next, and that weights come out over time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.fair_line import FairLine
from appliance.dispatch.fair_share import FairShare
from appliance.dispatch.priority import PATIENCE_S, Place

Ticket = tuple[str, int]


def place(ticket: Ticket, _now_s: float) -> Place:
    return (False, 0, float(ticket[1]), 0, 0.0, "")


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.5, 8), min_size=1),
    st.lists(st.floats(0.1, 5), min_size=400, max_size=400),
)
def test_service_goes_by_weight_where_all_want_more(weights: dict[str, float], lengths: list[float]) -> None:
    shares, had = FairShare(), Counter[str]()
    for tenant, weight in weights.items():
        shares.come(tenant, weight)
    served: dict[str, float] = dict.fromkeys(weights, 0.0)
    for length in lengths:
        tenant = min(weights, key=shares.rank)
        shares.come(tenant, weights[tenant])
        expected = shares.begin(tenant, 1.0)
        shares.end(tenant, expected, length)
        shares.go(tenant)
        served[tenant] += length
        had[tenant] += 1
    virtual = [served[tenant] / weight for tenant, weight in weights.items()]
    assert max(virtual) - min(virtual) <= 5 / min(weights.values()) + 1e-6


def test_calls_that_run_count_as_they_begin() -> None:
    shares = FairShare()
    shares.come("a", 1.0)
    shares.come("b", 1.0)
    order = []
    for _ in range(6):  # six places come free at once
        tenant = min(("a", "b"), key=shares.rank)
        shares.come(tenant, 1.0)
        shares.begin(tenant, 2.0)
        order.append(tenant)
    assert Counter(order) == {"a": 3, "b": 3}


def test_idling_saves_nothing_up() -> None:
    shares = FairShare()
    shares.come("a", 1.0)
    for _ in range(100):
        shares.end("a", shares.begin("a", 1.0), 1.0)
    shares.come("b", 1.0)
    assert shares.rank("b") == shares.rank("a") == 100.0
    shares.go("b")
    assert shares.rank("b") == 0.0  # and is forgotten


def line(*tickets: Ticket, shares: FairShare | None = None) -> FairLine[Ticket]:
    built: FairLine[Ticket] = FairLine(place, shares or FairShare())
    for ticket in tickets:
        built.join(ticket, ticket[0], float(ticket[1]))
    return built


def test_one_tenant_s_line_is_an_ordinary_one() -> None:
    standing = line(("a", 3), ("a", 1), ("a", 2))
    assert standing.first(4.0) == ("a", 1)
    standing.leave(("a", 1))
    assert (standing.first(4.0), len(standing)) == (("a", 2), 2)


def test_who_has_had_less_goes_first_then_priority() -> None:
    shares = FairShare()
    for tenant in "ab":
        shares.come(tenant, 1.0)
    shares.end("a", shares.begin("a", 1.0), 10.0)
    standing = line(("a", 1), ("b", 5), ("b", 4), shares=shares)
    assert standing.first(6.0) == ("b", 4)
    shares.end("b", shares.begin("b", 1.0), 11.0)
    assert standing.first(6.0) == ("a", 1)


def test_the_longest_wait_ends_whatever_the_shares_say() -> None:
    shares = FairShare()
    for tenant in "ab":
        shares.come(tenant, 1.0)
    shares.end("a", shares.begin("a", 1.0), 1e6)
    standing = line(("a", 1), ("b", 2), shares=shares)
    assert standing.first(PATIENCE_S) == ("b", 2)
    assert standing.first(PATIENCE_S + 1) == ("a", 1)


def test_who_left_stands_no_more() -> None:
    standing = line(("a", 1), ("b", 2))
    standing.leave(("a", 1))
    assert (list(standing), standing.of_tenants(), standing.first(3.0)) == ([("b", 2)], {"b": 1}, ("b", 2))
    with pytest.raises(KeyError):
        standing.leave(("a", 1))
    standing.leave(("b", 2))
    assert standing.first(3.0) is None


def test_a_part_is_that_of_those_who_wait() -> None:
    shares = FairShare()
    for tenant, weight in (("a", 1.0), ("b", 3.0), ("c", 4.0)):
        shares.come(tenant, weight)
    assert shares.part("a", {"a": 5, "b": 1, "c": 0}) == 0.25
    assert shares.part("a", {"a": 5}) == 1.0
