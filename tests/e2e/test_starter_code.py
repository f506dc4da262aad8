"""The tests of the starter models' training code, which need torch, in the engines' environment that has it."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("APPLIANCE_ENGINE_PYTHON", ROOT / ".venv-engine" / "bin" / "python"))
FILES = ("tests/starter/test_model.py", "tests/starter/test_orchestration.py")
# Pytest comes from this environment, and stands last, so that everything else is the engines' own.
RUN = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main(sys.argv[1:]))"

pytestmark = pytest.mark.e2e


def test_training_code_in_the_engines_environment() -> None:
    assert PYTHON.exists(), f"{PYTHON} is missing; run `make setup`"
    site_packages = sysconfig.get_path("purelib")
    command = [str(PYTHON), "-c", RUN, site_packages, "-q", "-p", "no:cacheprovider", *FILES]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
