"""Heads on disk: kept, promoted, rolled back, and refused where they are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.bootstrap.router_heads import MOST_BYTES, HeadFiles, Standing
from appliance.errors import ConfigError
from appliance.learning.features import SIZE
from appliance.learning.head import Head
from tests.learning.test_chooser import HEAD, card


def other(shift: float) -> Head:
    return Head(HEAD.arms, HEAD.weights, HEAD.bias + np.float32(shift), HEAD.mean, HEAD.scale)


def test_a_head_comes_back_as_it_was_and_is_small(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path)
    head_id = files.keep(HEAD, card(metrics={"kept": "ridge"}))
    kept = files.read(head_id)
    assert (kept.head.weights == HEAD.weights).all()
    assert kept.card == card(metrics={"kept": "ridge"})
    assert sum(path.stat().st_size for path in (tmp_path / head_id).iterdir()) < MOST_BYTES
    assert files.standing() == Standing(candidate=head_id)


def test_promoting_and_rolling_back(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path)
    first, second = files.keep(HEAD, card()), files.keep(other(1), card())
    files.promote(first)
    files.promote(second)
    assert files.promote(second) == Standing(second, first, second)
    files.turn_off("drift")
    assert files.standing().off == "drift"
    assert files.roll_back() == Standing(first, None, second)
    assert files.roll_back() == Standing(None, None, second)
    with pytest.raises(ConfigError, match="nothing to roll back"):
        files.roll_back()


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path)
    head_id = files.keep(HEAD, card())
    (tmp_path / head_id / "head.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="is no head that can be used"):
        files.read(head_id)
    with pytest.raises(ConfigError, match="is no head that can be used"):
        files.read("none")
    (tmp_path / "standing.json").write_text("{")
    with pytest.raises(ConfigError, match=r"standing\.json: can't be read"):
        files.standing()


def test_other_features_and_too_many_arms_are_refused(tmp_path: Path) -> None:
    files = HeadFiles(tmp_path)
    head_id = files.keep(HEAD, card(features=99))
    with pytest.raises(ConfigError, match="other features"):
        files.read(head_id)
    arms = tuple(f"auto:s{n}" for n in range(130))
    large = Head(arms, np.zeros((130, SIZE), dtype=np.float32), np.zeros(130, dtype=np.float32), HEAD.mean, HEAD.scale)
    with pytest.raises(ConfigError, match="use fewer arms"):
        files.keep(large, card(arms=arms))
