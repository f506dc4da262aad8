"""After every test: no account holds anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.coordinator.house import BUILT


@pytest.fixture(autouse=True)
def accounts_are_even() -> Iterator[None]:
    """Whatever happened in the test, every reservation was given back."""
    BUILT.clear()
    yield
    for built in BUILT:
        assert built.coordinator.limits.hold_nothing
        assert built.coordinator.admission.held_tokens == {}
        assert (built.dispatcher.in_flight, built.dispatcher.waiting) == ({}, {})
