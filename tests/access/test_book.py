"""Keys as a running appliance knows them: on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from appliance.access.api_keys import Digester
from appliance.access.book import TenantBook
from appliance.domain.tenant import ALL_SCOPES, Scope
from appliance.errors import AccessUnknown, ConfigError, LedgerError, NotAuthenticated, NotFound
from tests.access.house import Ledger, ledger
from tests.fakes.virtual_time import run


@pytest.fixture
def kept(ledger_place: Path | str) -> Iterator[Ledger]:
    with ledger(ledger_place) as opened:
        yield opened


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Ledger]:
    with ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def looked(book: TenantBook) -> TenantBook:
    asyncio.run(book.look())
    return book


def test_a_key_is_its_tenant_with_its_scopes_labels_and_policy(kept: Ledger) -> None:
    kept.tenant("acme", "kept", "secret")
    _, secret = kept.key("acme", Scope.INFERENCE, Scope.TRACES)
    tenant = kept.book().key(secret.encode())
    assert tenant is not None
    assert (tenant.name, tenant.policy, tenant.keep_content) == ("acme", "kept", True)
    assert tenant.labels == frozenset({"secret", "internal"})
    assert tenant.scopes == frozenset({Scope.INFERENCE, Scope.TRACES})


def test_what_changes_is_seen_at_the_next_look(kept: Ledger) -> None:
    kept.tenant("acme")
    book = kept.book()
    key_id, secret = kept.key("acme")
    assert book.key(secret.encode()) is None
    assert looked(book).key(secret.encode()) is not None
    kept.store.revoke(key_id)
    assert looked(book).key(secret.encode()) is None
    _, other = kept.key("acme")
    assert looked(book).key(other.encode()) is not None
    kept.store.disable("acme")
    assert looked(book).key(other.encode()) is None
    kept.store.disable("acme", disabled=False)
    assert looked(book).key(other.encode()) is not None


def test_a_key_ends_at_its_time_without_a_look(local: Ledger) -> None:
    local.tenant("acme")
    _, secret = local.key("acme", expires_s=60)
    book = local.book()
    local.moment.now_s += 59
    assert looked(book).key(secret.encode()) is not None
    local.moment.now_s += 1
    assert book.key(secret.encode()) is None


def test_rotated_keys_overlap(kept: Ledger) -> None:
    kept.tenant("acme")
    key_id, old = kept.key("acme", Scope.TRACES)
    _, new = kept.rotated(key_id, overlap_s=3600)
    book = kept.book()
    assert book.key(old.encode()) is not None
    found = book.key(new.encode())
    assert found is not None
    assert (found.name, found.scopes) == ("acme", frozenset({Scope.TRACES}))
    kept.moment.now_s += 3600
    assert (looked(book).key(old.encode()), book.key(new.encode()) is not None) == (None, True)
    with pytest.raises(ConfigError, match="was rotated already"):
        kept.rotated(key_id, 1)


def test_neither_what_is_stored_nor_a_part_of_a_key_opens_anything(kept: Ledger) -> None:
    kept.tenant("acme")
    key_id, secret = kept.key("acme")
    (record,) = kept.store.snapshot().keys
    book = kept.book()
    stored = bytes.fromhex(record.digest)
    for given in (record.digest.encode(), stored, key_id.encode(), secret[:-1].encode(), f"{secret} ".encode(), b"",
                  secret.split("-")[2].encode(), f"sk-{key_id}-' OR '1'='1".encode()):  # fmt: skip
        assert book.key(given) is None
    with kept.database.begin() as connection:
        everything = str(
            [connection.execute(text(f"SELECT * FROM {table}")).all() for table in ("api_keys", "tenants")]
        )
    assert secret not in everything
    assert secret.split("-", 2)[2] not in everything


def test_keys_of_the_file_are_those_of_the_default_tenant(local: Ledger) -> None:
    book = local.book("sk-of-the-file-0001")
    tenant = book.key(b"sk-of-the-file-0001")
    assert tenant is not None
    assert (tenant.name, tenant.scopes, tenant.policy) == ("default", ALL_SCOPES, "default")
    local.store.change("default", lambda record: record)
    local.store.disable("default")
    assert looked(book).key(b"sk-of-the-file-0001") is None


def test_a_ledger_that_does_not_answer_is_not_trusted_for_long(local: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    local.tenant("acme")
    _, secret = local.key("acme")
    book = local.book()

    async def fails(_work: object) -> None:
        raise LedgerError("gone")

    monkeypatch.setattr(local.database, "read", fails)
    local.moment.now_s += 29
    assert looked(book).key(secret.encode()) is not None
    local.moment.now_s += 2
    with pytest.raises(AccessUnknown, match="does not answer"):
        looked(book).key(secret.encode())


def test_unknown_keys_do_not_make_it_look_more_often(local: Ledger) -> None:
    asked: list[object] = []

    class Counting:
        async def read(self, work: object) -> int:
            asked.append(work)
            return 0

    book = local.book()
    book._ledger = Counting()  # type: ignore[assignment]  # a ledger that counts
    for step in range(100):
        local.moment.now_s += 0.01
        asyncio.run(book.look_again())
        assert len(asked) <= 1 + step // 20


def test_names_that_are_not_there_or_are_taken(kept: Ledger) -> None:
    kept.tenant("acme")
    with pytest.raises(ConfigError, match="there already"):
        kept.tenant("acme")
    with pytest.raises(NotFound, match="no tenant other"):
        kept.key("other")
    with pytest.raises(NotFound, match="no key x"):
        kept.store.revoke("x")
    with pytest.raises(NotAuthenticated, match="not known here"):
        kept.book().tenant("other", ALL_SCOPES, frozenset(), "a token")


def test_another_pepper_is_told_before_all_keys_fail(kept: Ledger) -> None:
    kept.store.check_pepper(kept.digester.check)
    kept.store.check_pepper(kept.digester.check)
    with pytest.raises(ConfigError, match="another pepper"):
        kept.store.check_pepper(Digester(b"q" * 32).check)


def test_changes_at_once_each_raise_the_version(kept: Ledger) -> None:
    kept.tenant("acme")
    before = kept.store.snapshot().version
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: kept.key("acme"), range(20)))
    after = kept.store.snapshot()
    assert (after.version, len(after.keys)) == (before + 20, 20)


def test_it_looks_every_second(local: Ledger) -> None:
    looks: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        class Noting:
            async def read(self, _work: object) -> int:
                looks.append(loop.time())
                return 0

        book = local.book(clock=loop.time)
        book._ledger = Noting()  # type: ignore[assignment]  # a ledger that notes
        began_s = loop.time()
        looking = asyncio.create_task(book.run())
        await asyncio.sleep(5.5)
        looking.cancel()
        assert [round(at_s - began_s, 6) for at_s in looks] == [1, 2, 3, 4, 5]

    run(main())
