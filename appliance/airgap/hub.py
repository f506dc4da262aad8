"""Weights from a Hugging Face hub, at the revision that a manifest pins. The connected side alone comes here."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi

from appliance.catalog.files import REFUSED_SUFFIXES
from appliance.domain.model import Model
from appliance.errors import BundleError, ContentRefused

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_NOT_TAKEN = (".gif", ".gitattributes", ".jpeg", ".jpg", ".mp4", ".pdf", ".png", ".svg", ".webp")
"""Pictures of model cards."""
_PARALLEL_FILES = 4


def fetch(model: Model, directory: Path, endpoint: str | None = None) -> None:
    """Put the model's files into `directory`; what is there whole already is not fetched again.

    The files that the manifest lists are taken, or all of the repository where it lists none; then a file that can run
    code is a reason to refuse the repository. Raises ContentRefused, BundleError.
    """
    if not COMMIT.match(model.revision) or "revision" in model.derived:
        raise ContentRefused(
            f"{model.model_id}: revision {model.revision} pins nothing; write the commit (40 hexadecimal digits) of "
            f"{model.repository} into its manifest"
        )
    api = HfApi(endpoint=endpoint)
    try:
        info = api.model_info(model.repository, revision=model.revision)
        if info.sha != model.revision:
            raise ContentRefused(f"{model.model_id}: the hub gave revision {info.sha} instead of {model.revision}")
        wanted = [file.path for file in model.files] or _harmless(model, [s.rfilename for s in info.siblings or ()])
        api.snapshot_download(
            model.repository,
            revision=model.revision,
            local_dir=directory,
            allow_patterns=wanted,
            max_workers=_PARALLEL_FILES,
        )
    except ContentRefused:
        raise
    except Exception as error:  # the library lets through whatever its HTTP client raises, and has changed that before
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(
            f"{model.model_id}: revision {model.revision} of {model.repository} can't be fetched: {first}; "
            f"put its files into {directory}, or try again: what came already is kept"
        ) from None


def _harmless(model: Model, names: list[str]) -> list[str]:
    """The files to take of a repository whose manifest does not list them. Raises ContentRefused."""
    for name in names:
        if Path(name).suffix.lower() in REFUSED_SUFFIXES:
            raise ContentRefused(
                f"{model.model_id}: {model.repository} holds {name}, which can run code; take another repository, or "
                "list in the manifest the files that are approved"
            )
    return [name for name in names if not name.startswith(".") and not name.lower().endswith(_NOT_TAKEN)]
