"""Every exception that the appliance raises on purpose.

ApplianceError
├── ConfigError            a configuration or manifest file is wrong (names file and key)
├── CatalogError           a model is unknown, its files are missing, broken or not the approved ones
├── InventoryError         this machine's GPUs can't be used: their driver or all of them fail
├── EngineError            something about one engine
│   ├── EngineStartError   it did not become ready
│   ├── AnswerInvalid      an answer is not of the form that was asked for
│   ├── EngineUnavailable  no ready engine serves the wanted model, or it can't be reached
│   └── EngineRejected     the engine answered with an HTTP error or an error event
├── RequestError           the caller can mend it (HTTP 4xx)
│   ├── InvalidRequest     malformed body or unsupported field
│   ├── UnknownModel       no such model or virtual model
│   ├── ContextTooLong     the prompt does not fit the model's context
│   ├── NotAuthenticated   no key or a wrong one
│   ├── NotAllowed         a policy forbids it
│   └── NotFound           no such trace
├── BundleError            a bundle could not be made, read or installed
│   ├── SignatureInvalid   not signed, or not by a key that is trusted
│   ├── ManifestInvalid    the signed list of contents is malformed, unsafe, or of an unknown version
│   ├── BundleDamaged      contents differ from the list
│   ├── BundleIncomplete   parts of it are missing or cut off
│   ├── BaseMissing        what a differential bundle builds on is not installed
│   └── ContentRefused     something may not be in a bundle: its format, licence or origin
├── NotMeasured            a measurement could not be made, or is not worth reporting
├── EgressUnknown          whether something calls out could not be found out on this machine
├── LedgerError            what is stored can't be read, or nothing more can be stored
│   └── AuditFailed        an audit record can't be written, and without it nothing may leave
├── BudgetExhausted        a limit of the request was reached and no answer could be given within it
├── Overloaded             the appliance has no room at present; try again
│   └── LimitReached       a tenant has used up one of its limits
├── AccessUnknown          whether a caller may come in can't be told at present
├── AlreadyRunning         another appliance holds the data directory or the port
└── NotRunning             no appliance answers where one was looked for

Only `gateway/error_responses.py` turns one into an HTTP status, only `cli/` into an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence


class ApplianceError(Exception):
    """Base of the tree. `str(error)` is one sentence for a person: what is wrong, where, and the way out.

    `costly`: a team had begun to work before it, and a second try would begin anew.
    """

    costly = False


class ConfigError(ApplianceError):
    """A configuration or manifest file is wrong."""


class CatalogError(ApplianceError):
    """A model is unknown, or its files are missing, broken or not the approved ones."""


class InventoryError(ApplianceError):
    """This machine's GPUs can't be used: their driver or all of them fail."""


class EngineError(ApplianceError):
    """Something about one engine."""


class EngineStartError(EngineError):
    """An engine did not become ready."""


class AnswerInvalid(EngineError):
    """An answer is not of the form that the caller asked for."""


class EngineUnavailable(EngineError):
    """No ready engine serves the wanted model, or the engine can't be reached."""


class EngineRejected(EngineError):
    """The engine answered with an error.

    `status` is the HTTP status (500 for an error event inside a stream). The upstream body may carry the prompt, so
    it is not part of the message; `detail` holds it for the caller of the request alone.
    """

    def __init__(self, message: str, *, status: int, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class RequestError(ApplianceError):
    """The caller can mend it. `param` names the offending field of the body, where there is one."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidRequest(RequestError):
    """Malformed body or unsupported field."""


class UnknownModel(RequestError):
    """No such model or virtual model."""


class ContextTooLong(RequestError):
    """The prompt does not fit the model's context."""


class NotAuthenticated(RequestError):
    """No API key, or a wrong one."""


class NotAllowed(RequestError):
    """A policy forbids it: no model, or no node, may see data with the request's labels."""


class NotFound(RequestError):
    """No such trace."""


class BundleError(ApplianceError):
    """A bundle could not be made, read or installed."""


class SignatureInvalid(BundleError):
    """Not signed, or not by a key that is trusted."""


class ManifestInvalid(BundleError):
    """The signed list of contents is malformed, unsafe, or of a version that is not known here."""


class BundleDamaged(BundleError):
    """Contents differ from the list. `problems` names each bad file."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = f" (and {len(problems) - 1} more; `appliance bundle verify` names all)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = tuple(problems)


class BundleIncomplete(BundleError):
    """Parts of it are missing or cut off."""


class BaseMissing(BundleError):
    """What a differential bundle builds on is not installed here."""


class ContentRefused(BundleError):
    """Something may not be in a bundle: its format, licence or origin."""


class NotMeasured(ApplianceError):
    """A measurement could not be made, or is not worth reporting."""


class EgressUnknown(ApplianceError):
    """Whether something calls out could not be found out on this machine."""


class LedgerError(ApplianceError):
    """What is stored can't be read, or nothing more can be stored."""


class AuditFailed(LedgerError):
    """An audit record can't be written, and without it nothing may leave."""


class BudgetExhausted(ApplianceError):
    """A limit of the request was reached and no answer could be given within it. `limit` names it."""

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class Overloaded(ApplianceError):
    """The appliance has no room at present. `retry_after_s` is an honest guess."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LimitReached(Overloaded):
    """A tenant has used up one of its limits; `limit` names it."""

    def __init__(self, message: str, *, retry_after_s: float, limit: str) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit


class AccessUnknown(ApplianceError):
    """Whether a caller may come in can't be told at present: what has to be asked does not answer."""


class AlreadyRunning(ApplianceError):
    """Another appliance holds the data directory or the port."""


class NotRunning(ApplianceError):
    """No appliance answers where one was looked for."""
