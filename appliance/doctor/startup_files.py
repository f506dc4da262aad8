"""Files that run at every start of a Python: `.pth`, `sitecustomize`, `usercustomize`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from appliance.doctor.finding import Finding, fail, ok, warn

KNOWN = frozenset(
    {
        # setuptools, which puts its own distutils before that of the standard library
        ("distutils-precedence.pth", "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224"),
        # virtualenv, one line: `import _virtualenv`
        ("_virtualenv.pth", "69ac3d8f27e679c81b94ab30b3b56e9cd138219b1ba94a1fa3606d5a76a1433d"),
    }
)
"""Name and SHA-256 of those that run code and are known to be harmless."""


def site_packages(python: Path) -> list[Path]:
    """The directories of packages of an interpreter's environment."""
    environment = python.absolute().parent.parent  # not resolve(): a virtual environment's interpreter is a link
    return sorted(environment.glob("lib*/python3*/site-packages"))


def examine(name: str, python: Path) -> Iterator[Finding]:
    """What runs at every start of the environment called `name`."""
    check = f"start-up files of {name}"
    directories = site_packages(python)
    if not directories:
        yield warn(check, f"{python} stands in no environment that can be looked at", "name the interpreter of one")
        return
    found = [finding for directory in directories for finding in _in(check, directory)]
    yield from found or [ok(check, f"nothing unknown in {directories[0]}")]


def _in(check: str, directory: Path) -> Iterator[Finding]:
    for file in sorted(directory.glob("*.pth")):
        if problem := _pth_problem(file):
            yield fail(check, f"{file} {problem}", "find out who put it there; remove it, or make the environment anew")
    for name in ("sitecustomize", "usercustomize"):
        for file in (directory / f"{name}.py", directory / name / "__init__.py"):
            if file.exists():
                yield fail(check, f"{file} runs at every start of Python", "remove it, or make the environment anew")


def _pth_problem(file: Path) -> str:
    """What an unknown file would do; empty where it only names directories that are there, as editable installs do."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return f"can't be read: {error.strerror}"
    if (file.name, hashlib.sha256(content).hexdigest()) in KNOWN:
        return ""
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    if any(line.startswith(("import ", "import\t")) for line in lines):
        return "is not known, and runs code at every start of Python"
    strange = [line for line in lines if line and not line.startswith("#") and not (file.parent / line).is_dir()]
    return f"names {strange[0][:80]!r}, which is no directory" if strange else ""
