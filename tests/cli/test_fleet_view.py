"""What `appliance status` says of the plan."""

from __future__ import annotations

import pytest

from appliance.cli.fleet_view import plan_lines
from appliance.domain.fleet import PlanNote


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s ago"), (119, "119 s ago"), (200, "3 min ago"), (9000, "2 h ago"), (1e6, "11 d ago")]
)
def test_how_long_ago_the_plan_was_made(seconds: float, said: str) -> None:
    note = PlanNote(1000.0, ("a GPU came", "it serves more"))
    assert plan_lines(note, 1000.0 + seconds).plain == f"plan made {said}: a GPU came; it serves more"


def test_each_trouble_has_a_line() -> None:
    note = PlanNote(0.0, ("the appliance started",), ("GPU 1 is gone", "nothing fits"))
    assert plan_lines(note, 0.0).plain.splitlines()[1:] == ["! GPU 1 is gone", "! nothing fits"]
