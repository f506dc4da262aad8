"""Keys and moments on the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table

from appliance.domain.credential import KeyRecord


def keys_table(keys: Sequence[KeyRecord]) -> Table:
    """One line for each key; what opens anything is not known any more."""
    now_unix_s = time.time()
    table = Table(box=None, pad_edge=False)
    for heading in ("key", "tenant", "scopes", "made", "expires", "state", "note"):
        table.add_column(heading, header_style="dim", no_wrap=heading in ("key", "tenant"))
    for key in keys:
        state = key.state(now_unix_s) + (f", replaced by {key.replaced_by}" if key.replaced_by else "")
        expires = "never" if key.expires_unix_s is None else moment(key.expires_unix_s)
        scopes = ", ".join(sorted(key.scopes))
        table.add_row(key.key_id, key.tenant, scopes, moment(key.created_unix_s), expires, state, key.note)
    return table


def moment(unix_s: float) -> str:
    """A wall time, here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_s))
