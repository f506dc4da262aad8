"""One worker of the appliance's request path, as it is wired for production, in front of an engine that is there.

`python -m benchmarks.relay.worker --engine http://127.0.0.1:9000 --port 8000 --data-dir DIR --key sk-…`
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from contextlib import ExitStack
from pathlib import Path

import uvloop

from appliance.bench.mock_engine import MODEL
from appliance.bootstrap import heap
from appliance.bootstrap.lineup import decide
from appliance.bootstrap.request_wiring import build_request_path
from appliance.bootstrap.server import listen
from appliance.config import Settings
from appliance.config.loading import load
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.telemetry import logs

CONFIG = Path("config/starter.yaml")
_SLOTS = 4096
"""More than any load of the benchmark: what is measured is the gateway, not the line in front of an engine."""


def settings_in(data_dir: Path, key: str, audit_mode: str = "off") -> Settings:
    """The starter configuration with a data directory and a key of its own."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "api-key").write_text(f"{key}\n", encoding="utf-8")
    logs.configure(file=data_dir / "logs" / "appliance.log")
    settings = load(CONFIG, {"APPLIANCE_DATA_DIR": str(data_dir)})
    # The starter keeps prompts and answers for its demo; a gateway of many tenants does not.
    audit = settings.ledger.audit.model_copy(update={"mode": audit_mode})
    ledger = settings.ledger.model_copy(update={"keep_content": False, "audit": audit})
    return settings.model_copy(update={"ledger": ledger})


async def serve(engine: str, port: int, settings: Settings) -> None:
    """Answer until cancelled."""
    fleet = Fleet()
    fleet.publish((EngineStatus(f"{MODEL}-0", MODEL, EngineState.READY, engine, "none", 32_768, _SLOTS, pid=1),))
    with ExitStack() as held:
        listener = held.enter_context(listen("127.0.0.1", port))
        path = build_request_path(decide(settings), fleet, listener, held, salt_secret=secrets.token_bytes(32))
        heap.settle()
        await path.start()
        try:
            await asyncio.Event().wait()
        finally:
            await path.stop()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--audit", default="off", choices=("off", "best_effort", "required"))
    said = parser.parse_args()
    uvloop.run(serve(said.engine, said.port, settings_in(said.data_dir, said.key, said.audit)))


if __name__ == "__main__":
    main()
