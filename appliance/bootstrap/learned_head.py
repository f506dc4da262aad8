"""The learned head that counts today, if any: promoted, for this pool, and not turned off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config import Settings
from appliance.domain.endpoint import EngineTask
from appliance.domain.model import Model
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from appliance.bootstrap.router_heads import HeadFiles
    from appliance.learning.chooser import LearnedChooser
    from appliance.learning.head import Card

logger = logging.getLogger(__name__)

DIRECTORY = "router"


def heads_directory(settings: Settings) -> Path:
    """Where heads are kept."""
    return settings.data_dir / DIRECTORY


def pool_digest(models: Mapping[str, Model]) -> str:
    """Changes with any model of the pool, or its revision: what a head learned no longer holds then."""
    return sha256(
        "\n".join(sorted(f"{model_id} {model.revision}" for model_id, model in models.items())).encode()
    ).hexdigest()


def learned_chooser(settings: Settings, models: Mapping[str, Model]) -> LearnedChooser | None:
    """The promoted head, or in shadow the candidate; None where none counts, and the log says why."""
    check_embedder(settings, models)
    use, directory = settings.coordinator.learned.use, heads_directory(settings)
    if use == "off" or not directory.exists():
        return None
    # NumPy takes 100 ms to import, which only those shall pay who have a head.
    from appliance.bootstrap.router_heads import HeadFiles
    from appliance.learning.chooser import LearnedChooser

    files = HeadFiles(directory)
    standing = files.standing()
    head_id = standing.promoted if use == "promoted" else standing.candidate or standing.promoted
    if head_id is None:
        return None
    if standing.off and use == "promoted":
        logger.warning("the learned head does not decide: %s; `appliance router promote` lets it again", standing.off)
        return None
    kept = files.read(head_id)
    if (problem := strangeness(settings, models, kept.card)) is not None:
        logger.warning(
            "learned head %s was made for another %s and does not count; train another one", head_id, problem
        )
        return None
    return LearnedChooser(
        head_id,
        kept.head,
        kept.card,
        use == "shadow",
        lambda reason: _turn_off(files, reason),
        settings.coordinator.learned.embed_timeout_s,
    )


def check_embedder(settings: Settings, models: Mapping[str, Model]) -> None:
    """Raises ConfigError where the model that is to embed prompts does not embed."""
    embedder = settings.coordinator.learned.embedder
    if embedder is not None and models[embedder].task is not EngineTask.EMBED:
        raise ConfigError(
            f"{settings.source}: coordinator.learned.embedder: {embedder} does not embed but {models[embedder].task}; "
            "name a model whose manifest says `task: embed`, or leave it out"
        )


def strangeness(settings: Settings, models: Mapping[str, Model], card: Card) -> str | None:
    """What a head was made for that is not there today; None where it holds."""
    if card.pool != pool_digest(models):
        return f"pool ({', '.join(card.pool_models)})"
    if card.embedder != (settings.coordinator.learned.embedder or ""):
        return f"embedder ({card.embedder or 'none'})"
    if card.embedder and card.embedder_revision != models[card.embedder].revision:
        return f"revision of {card.embedder}"
    return None


def _turn_off(files: HeadFiles, reason: str) -> None:
    """On drift; a file that can't be written must not end the request that noticed it."""
    logger.warning("the learned head is turned off: %s", reason)
    try:
        files.turn_off(reason)
    except (OSError, ConfigError) as error:
        logger.error("that could not be written down: %s", error)
