"""Which verifiers may judge a result, in which order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliance.coordinator.prompt_set import PromptSet


def jury(
    verifiers: Sequence[str],
    prompt_sets: Mapping[str, PromptSet],
    families: Mapping[str, str],
    skill: str,
    author: str,
) -> tuple[str, ...]:
    """The verifiers that understand results of `skill`, best judge first; `author` is the model that wrote this one.

    1. Models of another family than the author's: models of one family tend to share their mistakes.
    2. Other models.
    3. The author itself, as the last resort; whoever records the verdict says so.

    Within each of these the configured order stays. A model whose family is not known is a family of its own.
    """

    def closeness(model_id: str) -> int:
        if model_id == author:
            return 2
        return int(families.get(model_id, model_id) == families.get(author, author))

    able = [model_id for model_id in verifiers if prompt_sets[model_id].judges_skill(skill)]
    return tuple(sorted(able, key=closeness))
