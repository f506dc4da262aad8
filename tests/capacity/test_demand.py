"""From users to a rate, and refusals of what makes none."""

from __future__ import annotations

import pytest

from appliance.capacity.demand import load_of, parse_growth
from appliance.errors import ConfigError


def test_three_hundred_users_who_double() -> None:
    load = load_of(300, 0.2, growth="2x")
    assert load.rate_per_s == pytest.approx(1.0)
    assert load.requests_per_day == pytest.approx(3600 * 8)
    assert "300 users × 6 requests per hour × 2 growth = 1 requests/s" in load.words
    assert len(load.assumed) == 2
    assert load.scaled(0.5).rate_per_s == pytest.approx(0.5)


def test_what_is_said_is_not_assumed() -> None:
    load = load_of(100, 0, requests_per_user_hour=3.6, busy_hours_per_day=10)
    assert load.rate_per_s == pytest.approx(0.1)
    assert load.assumed == ()


@pytest.mark.parametrize(("text", "factor"), [("2x", 2), ("1.5x", 1.5), ("150%", 1.5), (" 3X ", 3)])
def test_growth(text: str, factor: float) -> None:
    assert parse_growth(text) == pytest.approx(factor)


@pytest.mark.parametrize("text", ["2", "-2x", "0x", "double", ""])
def test_no_growth(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--growth .*: is no growth; write 2x"):
        parse_growth(text)


@pytest.mark.parametrize(
    ("users", "hard", "per_user", "hours", "said"),
    [
        (-1, 0.2, None, None, "--users -1"),
        (float("nan"), 0.2, None, None, "--users nan"),
        (1, 0.2, -6, None, "--requests-per-user -6"),
        (1, 1.2, None, None, "--hard-share 1.2"),
        (1, -0.1, None, None, "--hard-share -0.1"),
        (1, 0.1, None, 25, "--busy-hours 25"),
    ],
)
def test_no_load(users: float, hard: float, per_user: float | None, hours: float | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_of(users, hard, requests_per_user_hour=per_user, busy_hours_per_day=hours)
