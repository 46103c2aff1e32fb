"""What every section of the settings is made of: exact numbers with their bounds and units, names, closed sections."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_NAME = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"


def _exact(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str):
        raise PydanticCustomError("quoted_number", "Input should be a number without quotes")
    return value


Number = Annotated[Decimal, BeforeValidator(_exact)]
Name = Annotated[str, Field(pattern=_NAME, max_length=40)]


def number(default: str, low: str, high: str, unit: str, why: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A number with a default; text because a bound is exact."""
    bounds = Decimal(low), Decimal(high)
    return Field(Decimal(default), ge=bounds[0], le=bounds[1], description=why, json_schema_extra={"unit": unit})


def given(low: str, high: str, unit: str, why: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A number that must be given."""
    bounds = Decimal(low), Decimal(high)
    return Field(ge=bounds[0], le=bounds[1], description=why, json_schema_extra={"unit": unit})


def count(default: int, low: int, high: int, unit: str, why: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A whole number with a default."""
    return Field(default=default, ge=low, le=high, description=why, json_schema_extra={"unit": unit})


class Section(BaseModel):
    """Strict, frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)
