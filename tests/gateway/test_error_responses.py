"""Every class of error has its status, OpenAI's shape, and headers that keep clients from doing harm."""

from __future__ import annotations

import pytest

from appliance import errors
from appliance.gateway.error_responses import INTERNAL_MESSAGE
from tests.gateway.door import call, chat, house

SECRET = "the caller's prompt"

CASES = [
    (errors.InvalidRequest("bad", param="tools"), 400, "invalid_request", {}),
    (errors.UnknownModel("no gpt"), 404, "model_not_found", {}),
    (errors.ContextTooLong("too long"), 400, "context_length_exceeded", {}),
    (errors.NotAuthenticated("who?"), 401, "invalid_api_key", {"www-authenticate": "Bearer"}),
    (errors.NotFound("no trace"), 404, "not_found", {}),
    (errors.NotAllowed("no", param="labels"), 403, "not_allowed", {"x-should-retry": "false"}),
    (errors.BudgetExhausted("spent", limit="calls"), 422, "budget_exhausted", {"x-should-retry": "false"}),
    (errors.Overloaded("full", retry_after_s=2.3), 429, "overloaded", {"retry-after": "3"}),
    (errors.EngineUnavailable("gone"), 503, "engine_unavailable", {"retry-after": "1"}),
    (errors.EngineRejected("no", status=400, detail="bad schema"), 400, "engine_rejected", {}),
    (errors.EngineRejected("no", status=429), 429, "overloaded", {"retry-after": "1"}),
    (errors.EngineRejected("no", status=401), 502, "engine_error", {"x-should-retry": "false"}),
    (errors.EngineRejected("no", status=500, detail=SECRET), 502, "engine_error", {"x-should-retry": "false"}),
    (errors.EngineStartError("did not start"), 500, "internal_error", {"x-should-retry": "false"}),
    (RuntimeError(SECRET), 500, "internal_error", {"x-should-retry": "false"}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "status", "code", "headers"), CASES)
def test_error_before_the_first_byte(
    error: Exception, status: int, code: str, headers: dict[str, str], stream: bool
) -> None:
    reply = call(house(error).app, body=chat(stream=stream))
    assert reply.status == status
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert reply.error["code"] == code
    assert headers.items() <= reply.headers.items()
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize("error", [RuntimeError(SECRET), errors.EngineRejected("no", status=500, detail=SECRET)])
def test_answers_show_neither_prompts_nor_traces(error: Exception) -> None:
    reply = call(house(error).app, body=chat())
    assert SECRET.encode() not in reply.body
    assert b"Traceback" not in reply.body


def test_detail_of_the_engine_reaches_the_caller_who_can_mend_it() -> None:
    error = errors.EngineRejected("the engine refused", status=400, detail="bad schema")
    assert call(house(error).app, body=chat()).error["message"] == "the engine refused: bad schema"


def test_unforeseen_error_names_the_request_id_as_the_way_to_the_log() -> None:
    assert call(house(KeyError("x")).app, body=chat()).error["message"] == INTERNAL_MESSAGE


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v1/nothing", 404, "not_found"), ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
     ("GET", "/v1/models/", 404, "not_found"), ("GET", "/docs", 404, "not_found")],
)  # fmt: skip
def test_paths_that_are_not_there(method: str, path: str, status: int, code: str) -> None:
    reply = call(house().app, method, path)
    assert (reply.status, reply.error["code"]) == (status, code)


def test_query_of_the_wrong_form() -> None:
    reply = call(house().app, "GET", "/v1/traces", query="limit=many")
    assert (reply.status, reply.error["param"]) == (400, "limit")


def test_body_over_the_limit_is_refused_whether_announced_or_not() -> None:
    app = house(max_body_bytes=1_000).app
    announced = call(app, body=b"x" * 1_001)
    assert (announced.status, "max_body_bytes" in announced.error["message"]) == (400, True)


def test_sane_request_id_is_kept_and_any_other_replaced() -> None:
    key = (b"authorization", b"Bearer sk-test-key-of-the-gateway")
    kept = call(house().app, "GET", "/v1/models", headers=[key, (b"x-request-id", b"job-17:4")])
    replaced = call(house().app, "GET", "/v1/models", headers=[key, (b"x-request-id", b"a b\x01")])
    assert kept.headers["x-request-id"] == "job-17:4"
    assert replaced.headers["x-request-id"].startswith("req-")
