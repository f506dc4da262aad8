"""What workers are told, what they keep for themselves, and what the main process makes of what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bootstrap.share import ALONE, Share
from appliance.bootstrap.worker_message import WorkerMessage, read_message
from appliance.bootstrap.worker_pool import LONGEST_BACKOFF_S, restart_after_s
from appliance.config import Settings, load
from appliance.domain.engine import Device
from appliance.domain.gpu import Card
from tests.cli.pool import make_pool

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "config/starter.yaml", *sorted((ROOT / "config/examples").glob("*.yaml")))


def message(settings: Settings) -> WorkerMessage:
    return WorkerMessage(
        number=1,
        workers=4,
        port=8000,
        door="http://127.0.0.1:1",
        key="k",
        salt_hex="ab",
        log_to_stderr=False,
        device=Device.CUDA,
        cards={"GPU-1": Card("NVIDIA L4", 24 << 30)},
        source=settings.source,
        settings=settings,
    )


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_worker_goes_by_the_very_settings_of_its_main_process(file: Path) -> None:
    settings = load(file, {"APPLIANCE_WORKERS": "4"})
    sent = message(settings)
    arrived = read_message(sent.line())
    assert (arrived, arrived.settings.source) == (sent, str(file))


def test_the_message_is_one_line(tmp_path: Path) -> None:
    assert message(load(make_pool(tmp_path).config, {})).line().count(b"\n") == 1


def test_each_worker_has_a_journal_of_its_own_and_the_first_sees_to_those_left_over(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    settings = load(pool.config, {})
    assert ALONE.journal_file(settings) == pool.data_dir / "journal.sqlite"
    files = [Share(number, 4).journal_file(settings) for number in range(4)]
    assert len(set(files)) == 4
    pool.data_dir.mkdir()
    for file in files:
        file.touch()
    assert Share(0, 4).left_journals(settings) == ()
    assert Share(0, 2).left_journals(settings) == tuple(files[2:])
    assert ALONE.left_journals(settings) == tuple(files[1:])
    assert Share(1, 2).left_journals(settings) == ()


@given(st.integers(0, 10_000))
def test_a_worker_that_was_up_starts_again_at_once_and_others_ever_later(failures: int) -> None:
    assert restart_after_s(0) == 0
    assert restart_after_s(failures) <= restart_after_s(failures + 1) <= LONGEST_BACKOFF_S
