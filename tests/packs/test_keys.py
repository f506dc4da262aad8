from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.packs.keys import OneKey, PackKeys

OLD, NEW = "old-" * 10, "new-" * 10


def test_a_key_is_made_where_there_is_none_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "data" / "pack-key"
    made = PackKeys(file, make=True)
    assert made.allows(made.first.encode())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PackKeys(file, make=True).first == made.first


def test_keys_change_while_they_are_used_and_half_a_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pack-key"
    file.write_text(f"# rotated in November\n{OLD}\n")
    keys = PackKeys(file)
    assert (keys.first, keys.allows(OLD.encode()), keys.allows(NEW.encode())) == (OLD, True, False)
    file.write_text(f"{NEW}\n{OLD}\n")
    assert (keys.first, keys.allows(OLD.encode()), keys.allows(NEW.encode())) == (NEW, True, True)
    file.write_text("ne")
    assert keys.first == NEW
    file.unlink()
    assert keys.first == NEW
    file.write_text(f"{NEW}\n")
    os.utime(file, ns=(1, 1))
    assert not keys.allows(OLD.encode())


@pytest.mark.parametrize("content", ["", "# nothing\n", "short\n", f"{'ü' * 40}\n", f"{'a b ' * 10}\n"])
def test_what_is_no_key_is_one_error_with_the_way_out(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pack-key"
    file.write_text(content)
    with pytest.raises(ConfigError, match="openssl rand -hex 32"):
        PackKeys(file)


def test_a_gateway_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.key_file: .*can't be read"):
        PackKeys(tmp_path / "pack-key")


def test_the_key_of_one_process() -> None:
    assert OneKey("k").allows(b"k")
    assert not OneKey("k").allows(b"l")
