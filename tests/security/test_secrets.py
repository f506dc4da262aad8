"""Secrets stand in files and in the environment of whom they are for: nowhere else, while a whole appliance works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.cli.pool import ROOT, Pool, family, make_pool, stop, wait_until_running

PLANTED = "planted-secret-of-the-operator"
PROMPT = "a prompt that nobody else may read"


def asked(url: str, path: str, key: str, body: object = None) -> bytes:
    """The answer, good or bad."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return bytes(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


def up(pool: Pool) -> subprocess.Popen[str]:
    """The appliance with a secret in its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "appliance", "up", "--config", str(pool.config)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "AWS_SECRET_ACCESS_KEY": PLANTED},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_no_secret_is_in_ps_logs_errors_or_metrics(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    pool.write()
    child = up(pool)
    try:
        url = wait_until_running(pool, child)
        key = (pool.data_dir / "api-key").read_text().split()[0]
        answers = [
            asked(
                url, "/v1/chat/completions", key, {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}
            ),
            asked(url, "/v1/chat/completions", key, {"model": "auto", "messages": PROMPT}),
            asked(url, "/v1/chat/completions", f"{key}x", {"model": "auto"}),
            asked(url, "/v1/completions", key, {"model": "fake-generalist", "prompt": PROMPT, "cache_salt": key}),
            *(asked(url, path, key) for path in ("/metrics", "/fleet", "/v1/models", "/v1/traces", "/openapi.json")),
        ]
        processes = [psutil.Process(child.pid), *family(child)]
        command_lines = [" ".join(process.cmdline()) for process in processes]
        environments = {process.pid: process.environ() for process in processes[1:]}
    finally:
        _, printed = stop(child)
    engine_keys = {found["VLLM_API_KEY"] for found in environments.values() if "VLLM_API_KEY" in found}
    assert engine_keys, "engines get their keys through the environment"
    secrets = {key, PLANTED, *engine_keys}
    logs = [file.read_text(errors="replace") for file in pool.data_dir.rglob("*.log*") if file.is_file()]
    assert logs
    for secret in secrets:
        assert not any(secret in line for line in command_lines), "ps"
        assert not any(secret in text for text in logs), "logs"
        assert not any(secret.encode() in answer for answer in answers), "answers, errors and metrics"
        assert secret not in printed
    assert not any(PROMPT in text for text in logs), "a prompt is in a log"
    for found in environments.values():
        assert PLANTED not in found.values(), "an engine needs no secret of the operator"
        assert key not in found.values()


def test_files_with_secrets_are_their_owner_s_alone(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    pool.write()
    child = up(pool)
    try:
        wait_until_running(pool, child)
        open_to_others = [
            file.name
            for file in pool.data_dir.rglob("*")
            if file.is_file() and file.name in {"api-key", "salt", "pepper"} and file.stat().st_mode & 0o077
        ]
    finally:
        stop(child)
    assert open_to_others == []
