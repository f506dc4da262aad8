"""A process that answers a request with a journal and hangs in its second task, for a test that kills it there."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.tenant import Tenant
from appliance.ledger.journal import JournalFile
from tests.coordinator.house import asks, house, sound
from tests.fakes.polling import until
from tests.fakes.scripted_client import Reply


async def main(journal: Path, keep_content: bool) -> None:
    """Answer one request and begin another; say so once the second one hangs; wait to be killed."""
    hangs = asyncio.Event()

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if ctx.request_id == "hangs" and ctx.task_id == "s2" and ctx.role is Role.EXECUTOR:
            hangs.set()
            return Reply(pieces=("84", "-"), hangs=True)
        return sound(call, ctx)

    built = house(script, journal=JournalFile(journal))
    tenant = Tenant("acme", keep_content=keep_content)

    async def answer(name: str) -> None:
        async for _ in built.coordinator.answer(asks(), request_id=name, trace_id=name, tenant=tenant):
            pass

    await answer("ends")
    work = asyncio.create_task(answer("hangs"))
    await hangs.wait()
    await until(lambda: _written(journal))
    print("hangs", flush=True)
    await work


def _written(journal: Path) -> bool:
    """Whether the sending of the call that hangs is on disk, and the end of the plan, which is heard of on the side.

    The page of the request that ended may still be there.
    """
    with closing(sqlite3.connect(journal)) as connection:
        rows = connection.execute("SELECT page, events FROM pages ORDER BY page, number").fetchall()
    hanging = {page for page, events in rows if b'"trace_id":"hangs"' in events}
    lines = [line for page, events in rows if page in hanging for line in events.split(b"\n")]
    return all(
        any(line.startswith(b'["' + kind) and place in line for line in lines)
        for kind, place in ((b"CallSent", b'"s2"'), (b"CallRecord", b'"plan"'))
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "keep"))
