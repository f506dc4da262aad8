"""What all parts of the chart's values have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    """Unknown keys are refused, keys are in camel case as charts have them, and the text below a field describes it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        alias_generator=to_camel,
        validate_default=True,
    )


Object = dict[str, Any]
"""A piece of a Kubernetes object, passed on as it stands; the API server checks it."""
Labels = dict[str, str]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", max_length=63)]
"""A name of a Kubernetes object, or nothing."""
_AMOUNT = r"^([0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?)?$"
Quantity = Annotated[
    str,
    Field(pattern=_AMOUNT),
    BeforeValidator(lambda amount: str(amount) if isinstance(amount, int | float) else amount),
    WithJsonSchema({"type": ["string", "number"], "pattern": _AMOUNT}),
]
"""An amount as Kubernetes writes it (`500m`, `8Gi`, 2), or nothing."""
Port = Annotated[int, Field(ge=1, le=65535)]
Cidr = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
