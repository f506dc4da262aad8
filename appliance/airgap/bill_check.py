"""A bill of material against the schema of CycloneDX, before it is signed."""

from __future__ import annotations

from appliance.errors import ContentRefused


def require_valid(path: str, bill: bytes) -> None:
    """Raise ContentRefused with the first problem."""
    # Imported here: it takes a second, and every other verb does without.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode())
    if problem is not None:
        raise ContentRefused(f"{path}: is no valid CycloneDX 1.6: {str(problem.data)[:300]}")
