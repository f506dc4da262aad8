"""How much service each living request has had, and how long a call takes on average. Pure: `now_s` is an argument."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

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


class _Held(AbstractContextManager[None]):
    """Somebody holds a request's account open."""

    __slots__ = ("_accounts", "_now_s", "_request_id")

    def __init__(self, accounts: dict[str, _Account], request_id: str, now_s: float) -> None:
        self._accounts = accounts
        self._request_id = request_id
        self._now_s = now_s

    def __enter__(self) -> None:
        account = self._accounts.get(self._request_id)
        if account is None:
            account = self._accounts[self._request_id] = _Account(self._now_s)
        account.holders += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        account = self._accounts[self._request_id]
        account.holders -= 1
        if not account.holders:
            del self._accounts[self._request_id]


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

    def opened(self, request_id: str, now_s: float) -> AbstractContextManager[None]:
        """Keep the account of a request; may be nested, and held by several at once."""
        return _Held(self._accounts, request_id, now_s)

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
