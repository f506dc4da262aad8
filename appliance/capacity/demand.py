"""People → requests: how many come in the busiest hour, and which share of them is hard. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from appliance.errors import ConfigError

REQUESTS_PER_USER_HOUR: Final = 6.0
"""In the busiest hour; stands in where the operator says nothing."""
BUSY_HOURS_PER_DAY: Final = 8.0
"""A day has as many requests as so many busiest hours: office hours."""

_GROWTH: Final = re.compile(r"^(?P<number>[0-9]*\.?[0-9]+)\s*(?P<sign>x|%)$")


@dataclass(frozen=True, slots=True)
class Load:
    """What the pool has to bear in its busiest hour.

    `hard_share` of the requests take the orchestrated way. `assumed` names what the operator did not say.
    """

    users: float
    requests_per_user_hour: float
    hard_share: float
    growth: float = 1.0
    busy_hours_per_day: float = BUSY_HOURS_PER_DAY
    assumed: tuple[str, ...] = ()

    @property
    def rate_per_s(self) -> float:
        """Requests per second in the busiest hour, growth included."""
        return self.users * self.requests_per_user_hour * self.growth / 3600

    @property
    def requests_per_day(self) -> float:
        """Requests of a whole day."""
        return self.rate_per_s * 3600 * self.busy_hours_per_day

    @property
    def words(self) -> str:
        """One sentence that says how the rate came about."""
        grown = f" × {self.growth:g} growth" if self.growth != 1 else ""
        return (
            f"{self.users:g} users × {self.requests_per_user_hour:g} requests per hour{grown} = {self.rate_per_s:.3g} "
            f"requests/s in the busiest hour, {self.hard_share:.0%} of them hard; arrivals at random (Poisson); "
            f"a day is worth {self.busy_hours_per_day:g} busiest hours"
        )

    def scaled(self, factor: float) -> Load:
        """With `factor` times the rate."""
        return replace(self, growth=self.growth * factor)


def load_of(
    users: float,
    hard_share: float,
    requests_per_user_hour: float | None = None,
    growth: str = "1x",
    busy_hours_per_day: float | None = None,
) -> Load:
    """The load; None takes the default and says so. Raises ConfigError that names the option."""
    assumed = []
    if requests_per_user_hour is None:
        requests_per_user_hour = REQUESTS_PER_USER_HOUR
        assumed.append(f"{REQUESTS_PER_USER_HOUR:g} requests per user in the busiest hour (--requests-per-user)")
    if busy_hours_per_day is None:
        busy_hours_per_day = BUSY_HOURS_PER_DAY
        assumed.append(f"a day is worth {BUSY_HOURS_PER_DAY:g} busiest hours (--busy-hours)")
    for option, value in (("--users", users), ("--requests-per-user", requests_per_user_hour)):
        if not value > 0 or not isfinite(value):
            raise ConfigError(f"{option} {value:g}: nobody asks anything then; give a number above 0")
    if not 0 <= hard_share <= 1:
        raise ConfigError(f"--hard-share {hard_share:g}: a share lies between 0 and 1 (0.2 is 20%)")
    if not 0 < busy_hours_per_day <= 24:
        raise ConfigError(f"--busy-hours {busy_hours_per_day:g}: a day has more than 0 and at most 24 hours")
    return Load(users, requests_per_user_hour, hard_share, parse_growth(growth), busy_hours_per_day, tuple(assumed))


def parse_growth(text: str) -> float:
    """`2x` or `150%` as a factor. Raises ConfigError."""
    found = _GROWTH.match(text.strip().lower())
    factor = 0.0 if found is None else float(found["number"]) / (100 if found["sign"] == "%" else 1)
    if not factor > 0 or not isfinite(factor):
        raise ConfigError(f"--growth {text}: is no growth; write 2x for twice today's traffic, or 150%")
    return factor
