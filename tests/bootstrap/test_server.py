from __future__ import annotations

import asyncio
import socket

from appliance.bootstrap.server import listen


def test_the_last_bytes_of_an_answer_do_not_wait_for_an_acknowledgement() -> None:
    async def main() -> int:
        accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listen("127.0.0.1", 0))
        async with server:
            _, caller = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer = await accepted
            nagle_off = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for end in (writer, caller):
                end.close()
                await end.wait_closed()
        return int(nagle_off)

    assert asyncio.run(main())
