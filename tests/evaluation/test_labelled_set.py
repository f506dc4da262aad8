from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.evaluation.labelled_set import LabelledResult, read_labelled

LINE = '{"skill": "math", "instruction": "12*7", "result": "84", "right": true}'


def test_lines_are_read_and_empty_ones_skipped(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(f'{LINE}\n\n{LINE[:-1]}, "inputs": {{"s1": "x"}}, "question": "q", "origin": "sampled"}}\n')
    first, second = read_labelled(file)
    assert first == LabelledResult(skill="math", instruction="12*7", result="84", right=True)
    assert (second.inputs, second.question, second.origin) == ({"s1": "x"}, "q", "sampled")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no labelled results"),
        (f"{LINE}\n{{", "line 2: "),
        (LINE.replace("true", '"yes"'), "line 1: right: Input should be a valid boolean"),
        (LINE.replace('"result"', '"answer"'), "line 1: result: Field required; answer: unknown key"),
    ],
)
def test_what_can_not_be_read_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"set\.jsonl: {message}"):
        read_labelled(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_labelled(tmp_path / "none.jsonl")
