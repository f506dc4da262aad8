from __future__ import annotations

from typing import Any

import pytest

from appliance.dispatch.admission import AdmissionLimits, Admit, Reject, Wait, decide

LIMITS = AdmissionLimits(max_waiting=2, max_wait_s=10)
EASY: dict[str, Any] = {
    "free_share": 0.5,
    "first": True,
    "others": 0,
    "begun": False,
    "waited_s": 0.0,
    "left_s": 60.0,
    "drain_s": 4.0,
}


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, Admit()),
        ({"first": False}, Wait(10)),
        ({"others": 2}, Admit()),
        ({"free_share": 0.0}, Wait(10)),
        ({"free_share": 0.0, "waited_s": 4.0}, Wait(6)),
        ({"free_share": 0.0, "left_s": 1.5}, Wait(1.5)),
        ({"free_share": 0.0, "others": 2}, Reject("2 calls wait already", 4)),
        ({"free_share": 0.0, "others": 2, "drain_s": 99.0}, Reject("2 calls wait already", 10)),
        ({"free_share": 0.0, "others": 2, "drain_s": 0.1}, Reject("2 calls wait already", 1)),
        ({"free_share": 0.0, "waited_s": 10.0}, Reject("no room within 10.0 s", 4)),
        ({"free_share": 0.0, "left_s": -1.0}, Reject("no room within 0.0 s", 4)),
        ({"free_share": 0.0, "others": 2, "begun": True}, Wait(30)),
        ({"free_share": 0.0, "others": 2, "begun": True, "left_s": 9.0}, Wait(9)),
        ({"free_share": 0.0, "waited_s": 30.0, "left_s": 30.0, "begun": True}, Reject("no room within 30.0 s", 4)),
        ({"waited_s": 99.0, "left_s": -1.0}, Admit()),
        ({"asleep": True, "free_share": 0.0, "waited_s": 99.0}, Wait(60)),
        ({"asleep": True, "others": 2}, Reject("2 calls wait already", 10)),
        (
            {"asleep": True, "waited_s": 9.0, "left_s": 0},
            Reject("it sleeps, and its turn did not come within 9.0 s", 10),
        ),
    ],
)
def test_decisions(change: dict[str, Any], outcome: object) -> None:
    assert decide(**{**EASY, **change}, limits=LIMITS) == outcome
