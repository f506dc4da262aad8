import json
from pathlib import Path

import pytest

from appliance.capacity.profile import as_json
from appliance.capacity.profile_file import load_profile, save_profile
from appliance.capacity.trees import TreeSample
from appliance.errors import ConfigError
from tests.capacity.profiles import STEP, call, direct, engine, profile


def test_what_was_saved_is_loaded_again_under_the_same_digest(tmp_path: Path) -> None:
    made = profile(engine("a"), engine("b"), tree=(TreeSample((call("a"), call("b", waits_for=(0,)))),))

    save_profile(made, tmp_path / "new" / "profile.json")
    loaded = load_profile(tmp_path / "new" / "profile.json")

    assert loaded == made
    assert loaded.digest == made.digest
    assert loaded.digest != profile().digest


def test_decode_steps_in_a_row_cost_what_they_cost_one_by_one() -> None:
    one_by_one = sum(STEP.step_s(0, 0, 3, 100 + 3 * step) for step in range(50))

    assert STEP.decode_s(50, 3, 100) == pytest.approx(one_by_one, rel=1e-12)


def test_the_engine_of_a_model_is_found_or_the_way_out_is_told() -> None:
    made = profile(engine("a"), engine("b", hardware="L4"), engine("b", hardware="H100"), direct=(direct("a"),))

    assert made.engine("a").model_id == "a"
    assert made.engine("b", "H100").hardware == "H100"
    with pytest.raises(ConfigError, match=r"no profile for c \(profiled: a, b\); run `appliance capacity profile`"):
        made.engine("c")
    with pytest.raises(ConfigError, match=r"b was profiled on several kinds of hardware \(L4 × 1, H100 × 1\)"):
        made.engine("b")
    with pytest.raises(ConfigError, match="b was not profiled on L40S; it was on L4 × 1, H100 × 1"):
        made.engine("b", "L40S")
    with pytest.raises(ConfigError, match=r"no requests of the class hard \(it has: direct\)"):
        made.trees_of("hard")


def test_traces_of_another_pool_are_named() -> None:
    with pytest.raises(ConfigError, match="class direct are traces of another pool: they call strange"):
        profile(engine("a"), direct=(direct("strange"),)).check()


def test_a_pool_that_was_not_profiled_is_named() -> None:
    made = profile(engine("a", revision="r1"), direct=(direct("a"),))

    made.check({"a": "r1"})
    with pytest.raises(ConfigError, match="no profile for b;"):
        made.check({"a": "r1", "b": "r1"})
    with pytest.raises(ConfigError, match="a was profiled at revision r1, and the catalog has r2"):
        made.check({"a": "r2"})


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("kv_tokens", -1, "engines.0.kv_tokens: Input should be greater than or equal to 1"),
        ("device_share", 0, "engines.0.device_share: Input should be greater than 0"),
        ("start_s", float("nan"), "engines.0.start_s: Input should be a finite number"),
        ("colour", "red", "engines.0.colour: "),
        ("source", "guessed", "engines.0.source: "),
    ],
)
def test_a_broken_profile_is_one_error_that_names_file_and_field(
    tmp_path: Path, key: str, value: object, says: str
) -> None:
    document = json.loads(as_json(profile()))
    document["engines"][0][key] = value
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigError) as refused:
        load_profile(path)

    assert str(refused.value).startswith(f"{path}: not a profile: {says}")


def test_a_tree_whose_calls_wait_for_later_ones_is_refused(tmp_path: Path) -> None:
    document = json.loads(as_json(profile()))
    document["trees"]["direct"][0]["calls"][0]["waits_for"] = [0]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigError, match="a call waits for earlier ones only"):
        load_profile(path)


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; `appliance capacity profile --out .*` makes one"):
        load_profile(tmp_path / "none.json")
    (tmp_path / "none.json").write_text("not json")
    with pytest.raises(ConfigError, match="not a profile"):
        load_profile(tmp_path / "none.json")
