"""What a support bundle holds, and what it must not: planted secrets and prompts are looked for in every byte of it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from appliance.config import load
from appliance.doctor.finding import ok
from appliance.doctor.redaction import engine_log, settings_without_secrets, without
from appliance.doctor.support_bundle import write
from appliance.errors import ConfigError
from tests.cli.pool import Pool, make_pool

API_KEY, ENV_SECRET, DATABASE = "sk-planted-api-key-123", "hf_planted_token_value", "postgresql://u:plantedpass@db/x"
PROMPT, ANSWER = "PLANTED-PROMPT tell me about the merger", "PLANTED-ANSWER it is on Monday"
PLANTED = (API_KEY, ENV_SECRET, "plantedpass", "PLANTED-PROMPT", "PLANTED-ANSWER")
ENGINE_LOG = f"""\
(EngineCore pid=9) INFO 11-24 00:27:40 [core.py:133] left by an earlier run: {PROMPT}
(APIServer pid=8) INFO 11-24 00:27:41 [api_server.py:1961] vLLM API server version 0.32.0
(EngineCore pid=9) INFO 11-24 00:27:45 [kv_cache_utils.py:2327] CPU KV cache size: 21,760 tokens
(APIServer pid=8) INFO 11-24 00:27:46 [api_server.py:1] the key is {API_KEY}
INFO:     Application startup complete.
(APIServer pid=8) INFO 11-24 00:28:00 [logger.py:42] Received request: {PROMPT}
{PROMPT}
(APIServer pid=8) ERROR 11-24 00:28:01 [serving.py:7] Traceback (most recent call last):
(APIServer pid=8) ERROR 11-24 00:28:01 [serving.py:7]   File "/x/vllm/serving.py", line 7, in create
(APIServer pid=8) ERROR 11-24 00:28:01 [serving.py:7] ValueError: {ANSWER}
  File "/x/vllm/engine.py", line 12, in step
ValueError: {ANSWER}
"""
OWN_LOG = [
    {"event": "ready", "engine_id": "math-0", "seconds": 3.5},
    {"event": "answered", "prompt": PROMPT, "messages": [{"content": PROMPT}], "answer": ANSWER},
    {"event": "odd", "note": PROMPT + " " * 300, "header": f"Bearer {API_KEY}", "inner": {"text": ANSWER}},
]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    made = make_pool(tmp_path)
    logs = made.data_dir / "logs"
    (logs / "engines").mkdir(parents=True)
    (made.data_dir / "api-key").write_text(f"{API_KEY}\n")
    (made.data_dir / "plan.json").write_text('{"engines": ["math-0"]}')
    (made.data_dir / "ledger.sqlite").write_text(PROMPT)
    (logs / "appliance.log").write_text("".join(f"{json.dumps(line)}\n" for line in OWN_LOG) + f"half a line {PROMPT}")
    (logs / "engines" / "math-0.log").write_text(ENGINE_LOG)
    (logs / "engines" / "math-0.log.1").write_text(ENGINE_LOG)
    return made


def texts(path: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.removeprefix("support/")] = file.read().decode()
    return found


def test_nothing_that_was_planted_gets_out(pool: Pool, tmp_path: Path) -> None:
    environment = {"HF_TOKEN": ENV_SECRET, "APPLIANCE_LEDGER_URL": DATABASE, "HOME": "/root"}
    findings = [ok("odd", f"says {ENV_SECRET} and {DATABASE}")]
    write(tmp_path / "s.tar.gz", load(pool.config), findings, environment)
    found = texts(tmp_path / "s.tar.gz")
    for name, text in found.items():
        for planted in PLANTED:
            assert planted not in text, name
    assert (tmp_path / "s.tar.gz").stat().st_mode & 0o777 == 0o600
    assert json.loads(found["plan.json"]) == {"engines": ["math-0"]}
    assert json.loads(found["config.json"])["pool"][0]["model"] == "fake-planner"
    assert json.loads(found["versions.json"])["packages"]["pydantic"]
    assert "CPU KV cache size: 21,760 tokens" in found["logs/engines/math-0.log"]
    assert "logs/engines/math-0.log.1" in found
    assert [json.loads(line)["event"] for line in found["logs/appliance.log"].splitlines()] == [
        "ready",
        "answered",
        "odd",
    ]


def test_nothing_is_overwritten(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(ConfigError, match="name a new file"):
        write(tmp_path / "there", load(pool.config), [], {})
    assert (tmp_path / "there").read_text() == "precious"


def test_an_engines_log_keeps_its_start_and_the_places_of_errors() -> None:
    kept = list(engine_log(ENGINE_LOG.splitlines()))
    assert kept == [
        "(EngineCore pid=9) INFO 11-24 00:27:40 [core.py:133] [redacted]",
        "(APIServer pid=8) INFO 11-24 00:27:41 [api_server.py:1961] vLLM API server version 0.32.0",
        "(EngineCore pid=9) INFO 11-24 00:27:45 [kv_cache_utils.py:2327] CPU KV cache size: 21,760 tokens",
        f"(APIServer pid=8) INFO 11-24 00:27:46 [api_server.py:1] the key is {API_KEY}",
        "INFO:     Application startup complete.",
        "(APIServer pid=8) INFO 11-24 00:28:00 [logger.py:42] [redacted]",
        "(APIServer pid=8) ERROR 11-24 00:28:01 [serving.py:7] [redacted]",
        '(APIServer pid=8) ERROR 11-24 00:28:01 [serving.py:7]   File "/x/vllm/serving.py", line 7, in create',
        "(APIServer pid=8) ERROR 11-24 00:28:01 [serving.py:7] [redacted]",
        '  File "/x/vllm/engine.py", line 12, in step',
    ]


def test_settings() -> None:
    settings = {
        "max_tokens": 5,
        "server": {"api_key": "x", "api_key_file": "api-key"},
        "tenants": [{"name": "a", "client_secret": "y", "token": None}],
        "url": "https://user:pass@host:1/path?token=z",
        "plain": "http://host:4318",
    }
    assert settings_without_secrets(settings) == {
        "max_tokens": 5,
        "server": {"api_key": "[redacted]", "api_key_file": "api-key"},
        "tenants": [{"name": "a", "client_secret": "[redacted]", "token": None}],
        "url": "https://[redacted]@host:1/path",
        "plain": "http://host:4318",
    }


def test_short_values_are_no_secrets() -> None:
    assert without("true story of abcdef", ["true", "", "abcdef"]) == "true story of [redacted]"
