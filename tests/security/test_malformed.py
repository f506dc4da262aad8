"""Bent bodies get a clear refusal or an answer, never a 5xx and never a stack trace."""

from __future__ import annotations

import asyncio
import itertools

import orjson

from tests.gateway.inside import inside
from tests.security.hostile import send
from tests.security.malformed import VALID, Malformed, malformed
from tests.security.scripted import obliging

COUNT = 2_000
"""A slice; `python -m benchmarks.malformed` sends 100,000."""


def test_malformed_bodies_are_refused_in_good_order() -> None:
    tally = asyncio.run(send(inside(obliging).app, malformed(seed=1, count=COUNT)))
    assert tally.wrong == []
    assert sum(tally.statuses.values()) == COUNT
    assert tally.statuses[400] > COUNT / 2
    assert tally.statuses[200] > COUNT / 20, "some bends do no harm, so the whole path is tried"


def test_the_bodies_that_they_are_made_of_are_good() -> None:

    bodies = [Malformed(path, orjson.dumps(body)) for path, said in VALID.items() for body in said]
    tally = asyncio.run(send(inside(obliging).app, bodies))
    assert tally.wrong == []
    assert set(tally.statuses) == {200, 404}, "404: there is no trace to be replayed"
    assert tally.statuses[404] == 1


def test_the_same_seed_bends_the_same() -> None:
    one, other = (list(itertools.islice(malformed(seed=7, count=20), 20)) for _ in range(2))
    assert one == other
