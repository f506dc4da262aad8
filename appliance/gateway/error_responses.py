"""The only place that chooses an HTTP status, and OpenAI's words for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from appliance import errors

INTERNAL_MESSAGE: Final = "the appliance made a mistake; its log has the details under this request id"

_WORTH_WAITING_S: Final = 3_600

_SHOWN_CHARS: Final = 300
"""Of what the caller wrote, no more than this is said back."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """Status, headers and OpenAI's error object."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The document that OpenAI's clients parse."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


def translate(error: Exception) -> ErrorAnswer:
    """Any exception → the answer to the caller.

    `x-should-retry: false` stands where a retry would run a whole tree of calls again: for the same end, or after a
    part of it was done.
    """
    answer = _translated(error)
    if isinstance(error, errors.ApplianceError) and error.costly:
        return replace(answer, headers={**answer.headers, **_no_retry()})
    return answer


def _translated(error: Exception) -> ErrorAnswer:
    match error:
        case errors.RequestError():
            return _mendable(error)
        case errors.BudgetExhausted():
            return _budget(error)
        case errors.LimitReached():
            return _limit(error)
        case errors.Overloaded():
            headers = _retry_after(error.retry_after_s)
            return ErrorAnswer(429, str(error), "rate_limit_error", "overloaded", headers=headers)
        case errors.AccessUnknown():
            return ErrorAnswer(503, str(error), "api_error", "access_unknown", headers=_retry_after(1))
        case errors.AnswerInvalid():
            return ErrorAnswer(502, str(error), "api_error", "answer_invalid", "response_format", _no_retry())
        case errors.EngineUnavailable():
            return ErrorAnswer(503, str(error), "api_error", "engine_unavailable", headers=_retry_after(1))
        case errors.EngineRejected():
            return _rejected(error)
        case errors.AuditFailed():
            return ErrorAnswer(503, str(error), "api_error", "audit_unavailable", headers=_retry_after(5))
        case errors.LedgerError():
            return ErrorAnswer(500, str(error), "api_error", "ledger_error", headers=_no_retry())
        case HTTPException():
            return _http(error)
        case RequestValidationError():
            return _query(error)
    return ErrorAnswer(500, INTERNAL_MESSAGE, "api_error", "internal_error", headers=_no_retry())


def _mendable(error: errors.RequestError) -> ErrorAnswer:
    message, param = str(error), error.param
    match error:
        case errors.UnknownModel():
            return ErrorAnswer(404, message, "invalid_request_error", "model_not_found", param or "model")
        case errors.ContextTooLong():
            return ErrorAnswer(400, message, "invalid_request_error", "context_length_exceeded", param or "messages")
        case errors.NotAuthenticated():
            headers = {"www-authenticate": "Bearer"}
            return ErrorAnswer(401, message, "authentication_error", "invalid_api_key", param, headers)
        case errors.NotAllowed():
            return ErrorAnswer(403, message, "permission_error", "not_allowed", param, _no_retry())
        case errors.NotFound():
            return ErrorAnswer(404, message, "invalid_request_error", "not_found", param)
    return ErrorAnswer(400, message, "invalid_request_error", "invalid_request", param)


def _budget(error: errors.BudgetExhausted) -> ErrorAnswer:
    """422 and not 429: a later try would reach the same limit, and clients repeat a 429 by themselves."""
    message = f"{error} (limit: {error.limit})"
    return ErrorAnswer(422, message, "budget_error", "budget_exhausted", headers=_no_retry())


def _limit(error: errors.LimitReached) -> ErrorAnswer:
    """OpenAI's clients try again by themselves, which has a sense within minutes and none before the next month."""
    headers = _retry_after(error.retry_after_s)
    if error.retry_after_s > _WORTH_WAITING_S:
        return ErrorAnswer(429, str(error), "insufficient_quota", "insufficient_quota", headers=headers | _no_retry())
    return ErrorAnswer(429, str(error), "rate_limit_error", "rate_limit_exceeded", headers=headers)


def _rejected(error: errors.EngineRejected) -> ErrorAnswer:
    """What the caller can mend comes back as the engine said it; an engine's own trouble is a 502."""
    message = f"{error}: {error.detail}" if error.detail else str(error)
    if error.status in {400, 404, 413, 422}:
        return ErrorAnswer(error.status, message, "invalid_request_error", "engine_rejected")
    if error.status == 429:
        return ErrorAnswer(429, str(error), "rate_limit_error", "overloaded", headers=_retry_after(1))
    return ErrorAnswer(502, str(error), "api_error", "engine_error", headers=_no_retry())


def _http(error: HTTPException) -> ErrorAnswer:
    messages = {404: "no such path; see /openapi.json for those that there are", 405: "method not allowed here"}
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = messages.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    return ErrorAnswer(
        error.status_code, message, "invalid_request_error", codes.get(error.status_code), headers=headers
    )


def _query(error: RequestValidationError) -> ErrorAnswer:
    """A path or query parameter of the wrong form."""
    problem = error.errors()[0]
    param = str(problem["loc"][-1])[:_SHOWN_CHARS]
    return ErrorAnswer(400, f"{param}: {problem['msg']}", "invalid_request_error", "invalid_request", param)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(seconds)))}


def _no_retry() -> dict[str, str]:
    return {"x-should-retry": "false"}


def response(error: Exception) -> Response:
    """The whole HTTP response to an exception."""
    answer = translate(error)
    return Response(
        orjson.dumps(answer.body()), status_code=answer.status, headers=answer.headers, media_type="application/json"
    )


async def http_error(_request: Request, error: Exception) -> Response:
    """Handler for the framework's own exceptions (unknown path, wrong method)."""
    return response(error)


def invalid(error: ValidationError) -> errors.InvalidRequest:
    """The first problem that pydantic found, under the path that the caller wrote: `messages[0].content`."""
    problem = error.errors(include_url=False, include_input=False)[0]
    context = problem.get("ctx", {})
    param = (_path(problem["loc"]) + str(context.get("below", "")))[:_SHOWN_CHARS]
    known = {"extra_forbidden": "unknown field", "missing": "required field is missing"}
    message = known.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    message = message[:_SHOWN_CHARS]
    return errors.InvalidRequest(f"{param}: {message}" if param else message, param=param or None)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
