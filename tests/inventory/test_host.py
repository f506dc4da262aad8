"""Memory of the machine and of a control group."""

from __future__ import annotations

from pathlib import Path

import psutil

from appliance.inventory.host import read_host


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    host = read_host(tmp_path)
    assert host.total_bytes == psutil.virtual_memory().total
    assert 0 < host.available_bytes <= host.total_bytes
    assert host.cpus >= 1


def test_a_control_groups_limit_counts_without_the_page_cache(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("100000000\n")
    (tmp_path / "memory.current").write_text("60000000\n")
    (tmp_path / "memory.stat").write_text("anon 30000000\nactive_file 10000000\ninactive_file 20000000\n")
    host = read_host(tmp_path)
    assert (host.total_bytes, host.available_bytes) == (100_000_000, 70_000_000)
