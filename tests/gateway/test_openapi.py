"""Our own OpenAPI document, tried by Schemathesis on the application itself: what it says is what is done.

Not among the checks is that whatever fits the schema is answered with 200: a schema can't say which models there are,
nor which JSON Schema a caller may bring.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.gateway.door import KEY
from tests.gateway.inside import inside

CHECKS = (
    not_a_server_error,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
EXAMPLES = 6
"""Of each route; the seed is fixed, so each run tries the same."""

HOUSE = inside()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", HOUSE.app, headers={"Authorization": f"Bearer {KEY}"})


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_the_document_is_kept(case: Any) -> None:
    case.call_and_validate(checks=[*CHECKS])
