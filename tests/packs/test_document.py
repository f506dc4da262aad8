from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures, PlanNote
from appliance.packs.document import (
    NotUnderstood,
    PackDocument,
    Report,
    Wish,
    document_json,
    read_document,
    read_report,
    report_json,
)

STATUS = EngineStatus("m-0", "m", EngineState.READY, "http://10.0.0.1:8100", "secret", 512, 8, pid=4, node="n")
DOCUMENT = PackDocument("p", "i", 3, (STATUS,), {"m-0": EngineFigures(kv_tokens=5)}, PlanNote(1.0, ("because",)))
REPORT = Report("g", "i", 3, {"m-0": 2}, {"m-0": 5}, {"m": Wish(3, 2)})


def test_both_come_back_as_they_went() -> None:
    assert read_document(document_json(DOCUMENT)) == DOCUMENT
    assert read_report(report_json(REPORT)) == REPORT


def test_another_version_may_know_more_or_less() -> None:
    told = json.loads(document_json(DOCUMENT))
    told["colour"] = "red"
    told["engines"][0] |= {"colour": "red"}
    del told["engines"][0]["turn_group"], told["figures"], told["plan"]
    assert read_document(json.dumps(told).encode()).engines == (STATUS,)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"source": ""}', b'{"source": "g", "in_flight": {"m": -1}}'])
def test_what_is_no_report_is_said_without_quoting_it(body: bytes) -> None:
    with pytest.raises(NotUnderstood, match="not understood"):
        read_report(body)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    for read in (read_report, read_document):
        try:
            read(body)
        except NotUnderstood:
            continue
