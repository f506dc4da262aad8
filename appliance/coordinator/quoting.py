"""Text as data in a prompt: none can end its own quotation, begin a line, or be a chat template's marker. Pure.

Engines render messages through the model's chat template and read the whole as tokens, so a text with `<|im_end|>` in
it would end its message wherever it stands. JSON's escapes keep such text readable and make it harmless.
"""

from __future__ import annotations

import json
import re
from typing import Any

_MARKER = re.compile(r"<(?=[|｜/<A-Za-z_])|\[(?=/?[A-Z][A-Z_]+\])")
"""Where what may be a marker begins: `<|im_end|>`, `</s>`, `<start_of_turn>`, `<<SYS>>`, `[/INST]`."""

_INVISIBLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Line ends that JSON leaves alone, and signs that are not seen or turn the direction of others."""


def quoted(value: Any) -> str:
    """`value` as JSON, which says the same to whoever decodes it."""
    text = json.dumps(value, ensure_ascii=False)
    return _INVISIBLE.sub(_escape, _MARKER.sub(_escape, text))


def defused(text: str) -> str:
    """`text` as it is, but for a space in what may be a marker: for places where nothing can be quoted."""
    return _MARKER.sub(lambda match: f"{match[0]} ", text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
