"""All checks of a machine, for one configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.catalog.loader import find, load_catalog, weights_bytes
from appliance.catalog.store import problems
from appliance.config import Settings
from appliance.doctor import machine, startup_files, variables
from appliance.doctor.finding import Finding, fail, ok, warn
from appliance.engines.ports import is_free
from appliance.engines.version import installed_version
from appliance.errors import CatalogError

CPU_ENGINE_BYTES = 1_000_000_000
"""What vLLM takes on the CPU beside weights and KV cache, a little less than was measured."""


def examine(settings: Settings, environment: Mapping[str, str], now_unix_s: float) -> Iterator[Finding]:
    """Every finding, the most basic first. Reads, and writes a probe to the disk that it removes; starts nothing."""
    on_cpu = settings.engines.device == "cpu"
    yield from machine.gpus(wanted=settings.engines.device == "cuda")
    yield machine.memory(_cpu_bytes(settings) if on_cpu else 0)
    yield from machine.disk("data_dir", settings.data_dir)
    yield machine.file_limit()
    yield machine.hugepages()
    yield machine.clock(now_unix_s)
    yield from _ports(settings)
    yield _engine_environment(settings.engines.python)
    yield from startup_files.examine("the appliance", Path(sys.executable))
    yield from startup_files.examine("the engines", settings.engines.python)
    yield from variables.examine(environment)
    yield from _models(settings)


def _cpu_bytes(settings: Settings) -> int:
    """Memory that engines on the CPU take, by a rule of thumb: the plan knows better."""
    catalog = load_catalog(settings.models.catalog)
    return sum(
        member.replicas
        * (weights_bytes(find(catalog, member.model)) + member.engine.kv_cache_memory_bytes + CPU_ENGINE_BYTES)
        for member in settings.pool
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    server, first = settings.server, settings.engines.first_port
    if is_free(server.port, server.host):
        yield ok("ports", f"{server.port} on {server.host} is free")
    else:
        yield warn(
            "ports",
            f"{server.port} on {server.host} is in use, or not of this machine",
            "an appliance that runs here already holds it; else end the other program, or set server.port",
        )
    engines = sum(member.replicas for member in settings.pool)
    taken = [port for port in range(first, first + engines) if not is_free(port)]
    if taken:
        yield warn("ports", f"{taken[0]} is in use", "engines take the next free ones; a firewall may not know those")
    else:
        yield ok("ports", f"{first} to {first + engines - 1} for engines are free")


def _engine_environment(python: Path) -> Finding:
    if not os.access(python, os.X_OK):
        return fail("engine environment", f"{python} is no interpreter", "set engines.python, or `make setup`")
    version = installed_version(python)
    if version is None:
        return fail("engine environment", f"{python} has no vLLM", "install it there from the lock file")
    return ok("engine environment", f"vLLM {version} at {python}")


def _models(settings: Settings) -> Iterator[Finding]:
    """The weights, without their digests: `appliance models verify` reads those."""
    try:
        catalog = load_catalog(settings.models.catalog)
        models = [find(catalog, member.model) for member in settings.pool]
    except CatalogError as error:
        yield fail("models", str(error), "correct the catalog")
        return
    found = [p for m in models for p in problems(m, settings.models.store / m.model_id, digests=False)]
    for problem in found:
        yield fail("models", problem, "`appliance models verify` tells more")
    if not found:
        yield ok("models", f"{len(models)} in {settings.models.store}: all files there, none that runs code")
