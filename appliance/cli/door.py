"""Where errors of the command line end: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from appliance import errors

RUNTIME_FAILURE = 1
WRONG_INPUT = 2
INTERRUPTED = 130
BUNDLE_EXITS = {
    errors.SignatureInvalid: 3,
    errors.ManifestInvalid: 4,
    errors.BundleDamaged: 5,
    errors.BundleIncomplete: 6,
    errors.BaseMissing: 7,
    errors.ContentRefused: 8,
}
"""So that an installer can tell what to do: ask its makers, copy again, fetch the base, or give up."""


class DoorGroup(TyperGroup):
    """The outermost command group."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; ApplianceError and Ctrl-C become exit codes."""
        try:
            return super().invoke(ctx)
        except errors.ApplianceError as error:
            complain(str(error))
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def exit_code(error: errors.ApplianceError) -> int:
    """2 for what the caller wrote, 1 for what went wrong, and a code for each thing that can be wrong with a bundle."""
    if type(error) in BUNDLE_EXITS:
        return BUNDLE_EXITS[type(error)]
    wrong_input = (errors.ConfigError, errors.CatalogError, errors.RequestError)
    return WRONG_INPUT if isinstance(error, wrong_input) else RUNTIME_FAILURE


def complain(message: str) -> None:
    """One line on stderr, not wrapped, so that it can be searched for."""
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), message))
