"""Traces leave the house only where a collector is configured, and then for it alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from appliance.bootstrap.wiring import build
from appliance.config import load
from tests.cli.pool import make_pool
from tests.fakes.otlp_collector import collector


def test_the_exporter_is_not_even_imported_by_default() -> None:
    code = "import sys, appliance.bootstrap.wiring; sys.exit('opentelemetry.exporter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("model", ["auto", "fake-generalist"])  # the second one takes the fast path
def test_an_answered_request_reaches_the_collector_below_its_callers_trace(tmp_path: Path, model: str) -> None:
    pool = make_pool(tmp_path)
    with collector() as received:
        pool.settings["telemetry"] = {"otlp_endpoint": received.url}
        pool.write()

        async def main() -> None:
            appliance = build(load(pool.config, {}))
            try:
                await appliance.start()
                key = (pool.data_dir / "api-key").read_text().split()[-1]
                await asyncio.to_thread(_ask, f"{appliance.url}/v1/chat/completions", key, model)
            finally:
                await appliance.stop()

        asyncio.run(main())
    assert {span.trace_id.hex() for span in received.spans} == {"ab" * 16}
    names = [span.name for span in received.spans]
    assert any(name.startswith("chat fake-") for name in names)
    assert names[-1].startswith("invoke_workflow ")
    assert received.spans[-1].parent_span_id.hex() == "cd" * 8


def _ask(url: str, key: str, model: str) -> None:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
    }
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as reply:
        assert reply.status == 200
