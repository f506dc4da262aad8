"""The section `bundle`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from appliance.config.section import Section
from appliance.domain.identifier import Identifier

FREE_LICENCES = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "MIT")


class BundleSettings(Section):
    """What is taken across an air gap. Paths are relative to the working directory; what is not there is left out."""

    name: Identifier = "appliance"
    """Beginning of the name of installed versions."""
    licences: tuple[str, ...] = Field(FREE_LICENCES, min_length=1)
    """Licences (SPDX identifiers) of models that may be in a bundle. Add one when your lawyers agree with it."""
    chart: Path = Path("deploy/helm/appliance")
    """Directory of the Helm chart."""
    routers: Path = Path("routers")
    """Directory of learned router heads."""
    suites: Path = Path("benchmarks/suites")
    """Directory of evaluation suites."""
    policies: Path = Path("config/policies")
    """Directory of policy files."""
    docs: Path = Path("docs")
    """Directory of the documentation."""
    locks: Path = Path("requirements")
    """Directory of the lock files, from which the list of software is made and wheels are checked."""
