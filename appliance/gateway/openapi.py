"""The OpenAPI document: who may call, and OpenAI's error shape on every route."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from fastapi import FastAPI

from appliance.gateway.openai.documents import ErrorDocument

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": ErrorDocument, "description": "The caller can mend it"},
    "5XX": {"model": ErrorDocument, "description": "The appliance or an engine can't answer"},
}
"""What every route may answer."""

_KEY: Final = "key"


class Documented(FastAPI):
    """An application whose document says which paths need a key."""

    def __init__(self, *, open_paths: Collection[str], **how: Any) -> None:
        super().__init__(responses=ERRORS, **how)
        self._open_paths = frozenset(open_paths)

    def openapi(self) -> dict[str, Any]:
        """Made once, when it is first asked for."""
        if self.openapi_schema is None:
            document = super().openapi()
            scheme = {"type": "http", "scheme": "bearer", "description": "A key of the appliance"}
            document.setdefault("components", {})["securitySchemes"] = {_KEY: scheme}
            document["security"] = [{_KEY: []}]
            for path in self._open_paths & document["paths"].keys():
                for operation in document["paths"][path].values():
                    operation["security"] = []
        assert self.openapi_schema is not None, "it was just made"
        return self.openapi_schema
