"""Moments as people write them on a command line."""

from __future__ import annotations

import re
import time
from datetime import datetime

from appliance.errors import InvalidRequest

_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}


def moment(text: str, option: str) -> float:
    """A span before now, or a day's beginning here, in Unix seconds. Raises InvalidRequest, which names the option."""
    span = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if span:
        return time.time() - int(span[1]) * _SECONDS[span[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidRequest(f"{option} {text}: neither a span (30m, 12h, 7d) nor a date (2026-01-31)") from None
