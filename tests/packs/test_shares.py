"""The places of an engine, divided: exact while documents and reports are late, lost for a while, or both."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.packs.shares import Places, fair_shares

NAMES = ("a", "b", "c")


@given(st.integers(1, 40), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60), min_size=1))
def test_shares_use_all_places_and_nobody_is_below_the_equal_part_it_wants(places: int, wanted: dict[str, int]) -> None:
    shares = fair_shares(places, wanted)
    assert sum(shares.values()) == max(places, len(wanted))
    assert min(shares.values()) >= 1
    for name, want in wanted.items():
        assert shares[name] >= min(want, places // len(wanted))
    if sum(max(1, want) for want in wanted.values()) <= places:
        assert all(shares[name] >= want for name, want in wanted.items())


def test_who_wants_more_than_the_rest_gets_what_they_leave() -> None:
    assert fair_shares(16, {"a": 100, "b": 2, "c": 0}) == {"a": 13, "b": 2, "c": 1}
    assert fair_shares(16, {"a": 0, "b": 0}) == {"a": 8, "b": 8}


@dataclass
class Gateway:
    """Goes by the last document that has reached it; takes on calls up to its share in that one."""

    version: int = 0
    share: int = 0
    in_flight: int = 0
    on_the_way: list[tuple[int, int]] = field(default_factory=list)

    def send(self, calls: int) -> None:
        self.in_flight += min(calls, max(0, self.share - self.in_flight))


class House:
    """One engine's door, and gateways that come to it."""

    def __init__(self, places: int) -> None:
        self.places = Places(places)
        self.size = places
        self.version = 1
        self.gateways: dict[str, Gateway] = {}

    def look(self) -> None:
        if self.places.divide(frozenset(self.gateways), self.version + 1):
            self.version += 1
            for name, gateway in self.gateways.items():
                gateway.on_the_way.append((self.version, self.places.share(name)))

    def join(self, name: str) -> None:
        if name not in self.gateways:
            self.gateways[name] = Gateway()
            self.look()

    def deliver(self, name: str, newest: bool) -> None:
        gateway = self.gateways[name]
        while gateway.on_the_way:
            gateway.version, gateway.share = gateway.on_the_way.pop(0)
            if not newest:
                return

    def report(self, name: str, wanted: int) -> None:
        gateway = self.gateways[name]
        self.places.heard(name, gateway.version, gateway.in_flight, wanted)
        self.look()

    def total(self) -> int:
        return sum(gateway.in_flight for gateway in self.gateways.values())


STEP = st.tuples(
    st.sampled_from(["join", "deliver", "catch up", "send", "end", "report"]),
    st.sampled_from(NAMES),
    st.integers(0, 20),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 16), st.lists(STEP, max_size=60))
def test_together_they_never_send_more_than_the_places_and_one_each(
    places: int, steps: list[tuple[str, str, int]]
) -> None:
    house = House(places)
    for what, name, number in steps:
        if what == "join":
            house.join(name)
        if name not in house.gateways:
            continue
        gateway = house.gateways[name]
        match what:
            case "deliver" | "catch up":
                house.deliver(name, what == "catch up")
            case "send":
                gateway.send(number)
            case "end":
                gateway.in_flight -= min(number, gateway.in_flight)
            case "report":
                house.report(name, number)
        assert house.total() <= places + len(house.gateways)


@settings(max_examples=100, deadline=None)
@given(st.integers(3, 40), st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)))
def test_what_is_wanted_is_given_once_everybody_is_heard(places: int, wanted: tuple[int, int, int]) -> None:
    house = House(places)
    for name in NAMES:
        house.join(name)
    for _ in range(4):
        for name, want in zip(NAMES, wanted, strict=True):
            house.deliver(name, newest=True)
            house.report(name, want)
    fair = fair_shares(places, dict(zip(NAMES, wanted, strict=True)))
    for name, want in zip(NAMES, wanted, strict=True):
        assert house.gateways[name].share >= min(want, fair[name])
    before = house.version
    for name, want in zip(NAMES, wanted, strict=True):
        house.report(name, want)
    assert house.version == before, "it comes to rest"


def test_a_share_that_shrinks_counts_until_its_holder_goes_by_the_smaller_one() -> None:
    house = House(8)
    house.join("a")
    house.deliver("a", newest=True)
    house.report("a", 8)
    house.deliver("a", newest=True)
    house.gateways["a"].send(8)
    house.join("b")
    house.report("b", 8)
    assert house.places.share("a") == 4
    assert house.places.share("b") == 1, "all but the one that everybody has are still a's"
    house.deliver("a", newest=True)
    house.gateways["a"].in_flight = 4
    house.report("a", 4)
    assert house.places.share("b") == 4


def test_the_places_of_one_that_is_gone_are_given_to_the_others() -> None:
    places = Places(8)
    places.divide(frozenset("ab"), 1)
    assert {places.share("a"), places.share("b")} == {4}
    assert places.divide(frozenset("a"), 2)
    assert places.share("a") == 8
