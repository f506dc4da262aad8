"""Images from an installed version into a registry: the commands are shown, or run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence

from appliance.airgap.images import shell_line
from appliance.errors import BundleError


def load_images(commands: Iterable[Sequence[str]], *, run: bool, say: Callable[[str], None]) -> None:
    """One after the other. Raises BundleError at the first that fails; those before it have done their work."""
    if run and shutil.which("skopeo") is None:
        raise BundleError("skopeo is not installed; leave out --load and run the commands where it is")
    for command in commands:
        say(shell_line(command))
        if run and (code := subprocess.run(command, check=False).returncode):
            raise BundleError(f"`{shell_line(command)}` ended with {code}; the bundle is installed, its images are not")
