"""Logs go to a file, as in production."""

from __future__ import annotations

import pytest

from appliance.telemetry import logs


@pytest.fixture(autouse=True, scope="session")
def _logs(tmp_path_factory: pytest.TempPathFactory) -> None:
    logs.configure(file=tmp_path_factory.mktemp("logs") / "appliance.log")
