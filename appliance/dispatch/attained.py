"""How much service each living request has had, and how long a call takes on average. Pure: `now_s` is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FIRST_GUESS_S = 5.0
"""Length of a call while none has ended."""
_NEWEST_SHARE = 0.02
"""What a call that ends counts in the average."""


@dataclass(slots=True)
class _Account:
    """Slot-seconds of the calls that ended, and the calls that run: their number and the sum of their beginnings."""

    arrived_s: float
    holders: int = 0
    ended_s: float = 0.0
    running: int = 0
    began_s: float = 0.0


@dataclass(slots=True)
class Attained:
    """An account for each request that somebody holds open; the last one who lets go closes it.

    A call in a batch takes one of the engine's slots, which is what others wait for, so service is counted in slots
    times seconds. `call_s` is the moving average over all calls that ended well.
    """

    call_s: float = FIRST_GUESS_S
    _accounts: dict[str, _Account] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._accounts)

    @contextmanager
    def opened(self, request_id: str, now_s: float) -> Iterator[None]:
        """Keep the account of a request; may be nested, and held by several at once."""
        account = self._accounts.setdefault(request_id, _Account(now_s))
        account.holders += 1
        try:
            yield
        finally:
            account.holders -= 1
            if not account.holders:
                del self._accounts[request_id]

    def arrived_s(self, request_id: str) -> float:
        """When an open request came."""
        return self._accounts[request_id].arrived_s

    def attained_s(self, request_id: str, now_s: float) -> float:
        """Slot-seconds that an open request has had until now, running calls included."""
        account = self._accounts[request_id]
        return account.ended_s + account.running * now_s - account.began_s

    def begin(self, request_id: str, now_s: float) -> None:
        """A call of an open request goes to an engine."""
        account = self._accounts[request_id]
        account.running += 1
        account.began_s += now_s

    def end(self, request_id: str, began_s: float, now_s: float, *, well: bool) -> None:
        """The call that began at `began_s` has left its engine, well or not."""
        account = self._accounts[request_id]
        account.running -= 1
        account.began_s -= began_s
        account.ended_s += now_s - began_s
        if well:
            self.learn(now_s - began_s)

    def learn(self, call_s: float) -> None:
        """A call took so long, and ended well."""
        self.call_s += _NEWEST_SHARE * (call_s - self.call_s)
