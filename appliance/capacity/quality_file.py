"""Measured quality on disk: a run of `appliance eval run`, or what `appliance eval report --json` says of one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.capacity.quality import Measured, Score
from appliance.config import describe
from appliance.errors import ConfigError
from appliance.evaluation.comparison import compare
from appliance.evaluation.paired import Interval
from appliance.evaluation.run_file import read_run
from appliance.evaluation.target import targets_of

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Of a report; what is not needed here may stand beside it."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _Interval(_Part):
    mean: Share
    low: Share
    high: Share


class _Row(_Part):
    target: str
    task_class: str = Field(alias="class")
    tasks: int = Field(ge=0)
    quality: _Interval


class _About(_Part):
    virtual_model: str
    models: frozenset[str]


class _Report(_Part):
    about: _About
    rows: tuple[_Row, ...] = Field(min_length=1)


def load_quality(path: Path, hard_classes: Collection[str] = ()) -> Measured:
    """Raises ConfigError that names the file, and what is wrong with it."""
    report = _report_of(path)
    scores, about = _of_run(path) if report is None else _of_report(path, report)
    return Measured(scores, str(path), about.virtual_model, about.models, frozenset(hard_classes))


def _report_of(path: Path) -> Any:
    """The document, where the file is one; a run has a document on each line."""
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}; make a run with `appliance eval run`") from None
    except orjson.JSONDecodeError:
        return None


def _of_report(path: Path, document: Any) -> tuple[tuple[Score, ...], _About]:
    try:
        report = _Report.model_validate(document)
    except ValidationError as error:
        raise ConfigError(
            f"{path}: is neither a run nor a report of one ({describe(error)}); make one with `appliance eval run`"
        ) from None
    return tuple(
        Score(row.target, row.task_class, row.tasks, Interval(row.quality.mean, row.quality.low, row.quality.high))
        for row in report.rows
    ), report.about


def _of_run(path: Path) -> tuple[tuple[Score, ...], _About]:
    run = read_run(path)
    if not run.attempts:
        raise ConfigError(f"{path}: holds no attempts yet; let `appliance eval run --out` go on with it")
    try:
        about = _About.model_validate(dict(run.header.about))
    except ValidationError as error:
        raise ConfigError(f"{path}: does not say which pool it is of: {describe(error)}") from None
    targets = targets_of(",".join(run.header.targets), virtual_model=about.virtual_model, models=about.models)
    rows = compare(run.attempts, targets, virtual_model=about.virtual_model).rows
    return tuple(Score(row.target, row.task_class, row.tasks, row.quality) for row in rows), about
