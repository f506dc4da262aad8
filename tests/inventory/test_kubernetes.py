"""The watch against a fake API server that drops watches, forgets, repeats, fails and rotates tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.inventory import kubernetes
from appliance.inventory.kubernetes import EndpointWatch, service_account
from tests.fakes.kubernetes_api import NAMESPACE, FakeKubernetes
from tests.fakes.polling import until

A, B, C = "http://10.0.0.1:8090", "http://10.0.0.2:8090", "http://10.0.0.3:8090"


class Told:
    """What the watch said last, and how often."""

    def __init__(self) -> None:
        self.doors: frozenset[str] | None = None
        self.times = 0

    def __call__(self, doors: Collection[str]) -> None:
        self.doors = frozenset(doors)
        self.times += 1

    async def are(self, *doors: str) -> None:
        await until(lambda: self.doors == frozenset(doors))


@asynccontextmanager
async def watching(api: FakeKubernetes) -> AsyncIterator[Told]:
    told = Told()
    watch = EndpointWatch(api.account, NAMESPACE, "kubernetes.io/service-name=packs", "door")
    task = asyncio.create_task(watch.run(told))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "FIRST_BACKOFF_S", 0.01)


def run(directory: Path, story: Callable[[FakeKubernetes, Told], object]) -> FakeKubernetes:
    async def main() -> FakeKubernetes:
        async with FakeKubernetes(directory / "account") as api:
            api.put("packs-a", "10.0.0.1")
            async with watching(api) as told:
                await told.are(A)
                await until(lambda: api.watches == 1)
                outcome = story(api, told)
                assert asyncio.iscoroutine(outcome)
                await outcome
            return api

    return asyncio.run(main())


def test_changes_are_told_at_once(tmp_path: Path) -> None:
    async def story(api: FakeKubernetes, told: Told) -> None:
        api.put("packs-b", "10.0.0.2", "10.0.0.3")
        await told.are(A, B, C)
        api.put("packs-b", "10.0.0.2", "10.0.0.3", ip_10_0_0_2=False)
        await told.are(A, C)
        api.delete("packs-a")
        await told.are(C)

    assert run(tmp_path, story).calls == ["list", "watch"]


def test_a_dropped_watch_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def story(api: FakeKubernetes, told: Told) -> None:
        api.bookmark()
        api.put("packs-b", "10.0.0.2")
        await told.are(A, B)
        api.drop_watches()
        api.delete("packs-a")  # while nobody watches
        await told.are(B)
        assert told.times == 3

    assert run(tmp_path, story).calls.count("list") == 1


@pytest.mark.parametrize("as_event", [False, True])
def test_gone_lists_anew(tmp_path: Path, as_event: bool) -> None:
    async def story(api: FakeKubernetes, told: Told) -> None:
        api.error_events = as_event
        api.drop_watches()
        await until(lambda: api.watches == 0)
        api.delete("packs-a")
        api.put("packs-c", "10.0.0.3")
        api.forget()
        await told.are(C)

    assert run(tmp_path, story).calls.count("list") == 2


def test_repeated_and_old_events_change_nothing(tmp_path: Path) -> None:
    async def story(api: FakeKubernetes, told: Told) -> None:
        api.repeat = 3
        api.put("packs-b", "10.0.0.2")
        await told.are(A, B)
        api.put("packs-b", "10.0.0.2", ip_10_0_0_2=False)
        await told.are(A)
        api.again(2)
        api.put("packs-c", "10.0.0.3")
        await told.are(A, C)
        assert told.times == 4, "every change was told once"

    run(tmp_path, story)


def test_a_rotated_token_is_read_anew(tmp_path: Path) -> None:
    async def story(api: FakeKubernetes, told: Told) -> None:
        api.rotate("token-2")
        api.drop_watches()
        api.put("packs-b", "10.0.0.2")
        await told.are(A, B)

    run(tmp_path, story)


def test_while_the_server_is_away_what_was_known_stays(tmp_path: Path) -> None:
    async def story(api: FakeKubernetes, told: Told) -> None:
        api.broken = 4
        api.drop_watches()
        await until(lambda: api.broken == 0)
        assert told.doors == frozenset({A})
        api.put("packs-b", "10.0.0.2")
        await told.are(A, B)
        assert "list" not in api.calls[1:]

    run(tmp_path, story)


def test_another_authority_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[int] = []

    def backoff_s(count: int) -> float:
        failures.append(count)
        return 0.01

    monkeypatch.setattr(kubernetes, "_backoff_s", backoff_s)

    async def main() -> None:
        async with FakeKubernetes(tmp_path / "a") as api, FakeKubernetes(tmp_path / "b") as other:
            api.put("packs-a", "10.0.0.1")
            (api.directory / "ca.crt").write_bytes((other.directory / "ca.crt").read_bytes())
            async with watching(api) as told:
                await until(lambda: len(failures) > 2)
                assert (told.doors, api.calls) == (None, [])

    asyncio.run(main())


def test_outside_of_a_pod_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no pod.*cluster\.discovery\.urls"):
        service_account({}, tmp_path)
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        service_account({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path)
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    assert service_account({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).server == "https://[fd00::1]:443"
