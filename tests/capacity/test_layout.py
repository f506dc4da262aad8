"""A plan as engines to be simulated: their room, which of them slow each other, and a lost node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.capacity.engine_book import EngineBook
from appliance.capacity.engine_profile import Source
from appliance.capacity.hardware import load_hardware, nodes_of
from appliance.capacity.layout import Layout, at_band_end, lay_out, nodes_without_one
from appliance.domain.placement import Unplaceable
from appliance.errors import ConfigError
from tests.capacity import profiles
from tests.capacity.pools import OTHER, SMALL, alone, pair, wanted

KINDS = load_hardware()


def laid_out(gpus: int, book: EngineBook | None = None, kind: str = "l4") -> Layout:
    team = pair()
    found = lay_out(team, KINDS[kind], nodes_of(KINDS[kind], gpus), team.demand(0.2, 1.0), book or EngineBook())
    assert isinstance(found, Layout), found
    return found


def test_engines_have_the_room_that_the_plan_gives_them() -> None:
    layout = laid_out(2)
    planned = {engine.engine_id: engine for engine in layout.plan.engines}
    assert {place.profile.model_id for place in layout.places} == {SMALL, OTHER}
    for place in layout.places:
        assert place.profile.kv_tokens == planned[place.engine_id].kv_tokens
        assert place.profile.source is Source.UNMEASURED
    assert layout.unmeasured == (SMALL, OTHER)
    assert layout.price_per_hour == pytest.approx(2 * KINDS["l4"].price_per_hour.value)


def test_engines_of_one_gpu_share_a_device_and_others_do_not() -> None:
    (first, second) = laid_out(1).places
    assert first.device == second.device
    assert first.profile.device_share == 1.0


def test_what_spans_gpus_joins_them_and_takes_its_part_of_each() -> None:
    team = pair().sized({SMALL: (2,), OTHER: (1,)})
    kind = KINDS["l4"]
    layout = lay_out(team, kind, nodes_of(kind, 2), team.demand(0.2, 1.0), EngineBook())
    assert isinstance(layout, Layout)
    assert len({place.device for place in layout.places}) == 1
    shares = {place.profile.model_id: place.profile.device_share for place in layout.places}
    assert shares == {SMALL: 1.0, OTHER: 0.5}


def test_the_ends_of_the_band_are_faster_and_slower() -> None:
    layout = laid_out(1)
    fast, expected, slow = (at_band_end(layout.places, end)[0].profile.step.fixed_s for end in (-1, 0, 1))
    band = layout.places[0].profile.step.band
    assert fast == pytest.approx(expected * (1 - band))
    assert slow == pytest.approx(expected * (1 + band))


def test_a_measured_engine_is_believed_on_its_hardware_only() -> None:
    small = wanted(SMALL).model
    made = profiles.engine(SMALL, hardware="l4", revision=small.revision)
    book = EngineBook(profiles.profile(made, direct=(profiles.direct(SMALL),)))
    by_model = {place.profile.model_id: place.profile.source for place in laid_out(1, book).places}
    assert by_model == {SMALL: Source.MEASURED, OTHER: Source.UNMEASURED}
    assert {place.profile.source for place in laid_out(1, book, "l40s").places} == {Source.UNMEASURED}


def test_another_revision_was_not_measured() -> None:
    book = EngineBook(profiles.profile(profiles.engine(SMALL, hardware="l4", revision="old")))
    with pytest.raises(ConfigError, match="qwen3-4b was profiled at revision old"):
        laid_out(1, book)


def test_a_model_without_a_shape_can_be_neither_placed_nor_reckoned() -> None:
    shapeless = replace(wanted(SMALL), model=replace(wanted(SMALL).model, geometry=None))
    with pytest.raises(ConfigError, match="its manifest has no `config` to reckon one from"):
        EngineBook().by_itself(alone().problem, shapeless, KINDS["l4"], 1)


def test_what_does_not_fit_is_said_so() -> None:
    big = wanted("llama-3.3-70b-instruct")
    assert EngineBook().by_itself(alone().problem, big, KINDS["l4"], 1) is None
    team = replace(alone(), problem=replace(alone().problem, models=(big,), roles={"generalist": (big.model_id,)}))
    kind = KINDS["l4"]
    assert isinstance(lay_out(team, kind, nodes_of(kind, 1), alone().demand(0, 1.0), EngineBook()), Unplaceable)


def test_the_fullest_node_is_the_one_that_is_lost() -> None:
    assert nodes_without_one(KINDS["l4"], 4) == ()
    (left,) = nodes_without_one(KINDS["l4"], 6)
    assert len(left.accelerators) == 2
