from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import pytest

from appliance.bootstrap.ledger import LEDGER_URL, ledger_place
from appliance.config import Settings, load
from appliance.errors import ConfigError
from tests.cli.pool import make_pool

URL = "postgresql://me:QEXAR@db/ledger"


def settings(tmp_path: Path, **ledger: str) -> Settings:
    pool = make_pool(Path(mkdtemp(dir=tmp_path)))
    pool.settings["ledger"] = ledger
    pool.write()
    return load(pool.config, {})


def test_a_file_below_the_data_directory_is_the_default(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    assert ledger_place(wanted, {}) == wanted.data_dir / "ledger.sqlite"


def test_a_url_comes_from_the_settings_a_file_or_the_environment(tmp_path: Path) -> None:
    assert ledger_place(settings(tmp_path, url="postgresql://me@db/ledger"), {}) == "postgresql://me@db/ledger"
    (tmp_path / "url").write_text(f"{URL}\n")
    from_file = settings(tmp_path, url_file=str(tmp_path / "url"))
    assert ledger_place(from_file, {}) == URL
    assert ledger_place(from_file, {LEDGER_URL: "postgresql://other/l"}) == "postgresql://other/l"
    assert "QEXAR" not in repr(from_file)


@pytest.mark.parametrize("url", [URL, "postgresql://db/ledger?password=QEXAR", "postgresql://me:QEXAR@[db/l"])
def test_a_password_in_the_settings_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"holds a password.*url_file") as refused:
        settings(tmp_path, url=url)
    assert "QEXAR" not in str(refused.value)


def test_two_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="url and url_file: two places"):
        settings(tmp_path, url="postgresql://db/ledger", url_file="url")


def test_a_url_file_that_can_not_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ledger\.url_file: .*FileNotFoundError"):
        ledger_place(settings(tmp_path, url_file=str(tmp_path / "none")), {})
    (tmp_path / "two").write_text("a\nb\n")
    with pytest.raises(ConfigError, match="expected one line"):
        ledger_place(settings(tmp_path, url_file=str(tmp_path / "two")), {})
