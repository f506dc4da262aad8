from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.access.api_keys import PEPPER_VARIABLE, Digester, new_key, read_or_make_pepper
from appliance.errors import ConfigError


def test_a_key_begins_with_its_id_and_has_256_random_bits() -> None:
    made = {new_key() for _ in range(200)}
    assert len({key_id for key_id, _ in made}) == 200
    for key_id, key in made:
        assert re.fullmatch(rf"sk-{key_id}-[A-Za-z0-9_-]{{43}}", key)
        assert re.fullmatch(r"[a-z2-9]{8}", key_id)


def test_a_digest_is_hmac_under_the_pepper() -> None:
    import hashlib
    import hmac

    digester = Digester(b"p" * 32)
    for key in (b"", b"sk-a", b"x" * 500):
        assert digester.digest(key) == hmac.digest(b"p" * 32, key, hashlib.sha256)
    assert Digester(b"q" * 32).digest(b"sk-a") != digester.digest(b"sk-a")
    assert Digester(b"q" * 32).check != digester.check


def test_the_pepper_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "below" / "key-pepper"
    with ThreadPoolExecutor(4) as threads:
        peppers = set(threads.map(lambda _: read_or_make_pepper(file, {}), range(8)))
    assert len(peppers) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [left.name for left in file.parent.iterdir()] == ["key-pepper"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    given = {PEPPER_VARIABLE: "e" * 40}
    assert read_or_make_pepper(tmp_path / "key-pepper", given) == b"e" * 40
    assert not (tmp_path / "key-pepper").exists()


@pytest.mark.parametrize("content", ["", "short\n"])
def test_a_pepper_that_is_too_short_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key-pepper"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"key-pepper: holds less than 32 bytes"):
        read_or_make_pepper(file, {})
    with pytest.raises(ConfigError, match="APPLIANCE_KEY_PEPPER"):
        read_or_make_pepper(file, {PEPPER_VARIABLE: "short"})
