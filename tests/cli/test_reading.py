"""Verbs are read when they are wanted."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from appliance.cli.main import app
from appliance.cli.verbs import VERBS


def test_a_verb_that_only_asks_reads_nothing_of_what_answers() -> None:
    code = (
        "import sys\nfrom appliance.cli.verbs import Verbs\n"
        "assert Verbs(name='appliance').get_command(None, 'status') is not None\n"
        "sys.exit(', '.join({'fastapi', 'sqlalchemy', 'ortools', 'cryptography', 'uvicorn'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does(verb: str) -> None:
    said = CliRunner().invoke(app, [verb, "--help"], catch_exceptions=False)
    assert said.exit_code == 0
    assert re.search(rf"Usage: \S+ {verb} ", said.output)
    assert "completion" not in said.output


def test_the_list_has_all_but_what_nobody_types() -> None:
    said = CliRunner().invoke(app, ["--help"], catch_exceptions=False).output
    assert all(re.search(rf"^│ {verb} ", said, re.MULTILINE) for verb in VERBS if verb != "worker")
    assert not re.search(r"^│ worker ", said, re.MULTILINE)


def test_a_mistyped_verb_gets_a_suggestion() -> None:
    said = CliRunner().invoke(app, ["statsu"])
    assert said.exit_code == 2
    assert "status" in said.output


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"{version('appliance')}\n"
