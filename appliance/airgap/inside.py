"""`unshare --net python -m appliance.airgap.inside METHOD RECORD COMMAND…`: runs a command in a namespace with loopback
alone, and writes down the packets where the method asks for it; the exit code is the command's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.airgap.packets import raise_loopback, recorded, take_all_addresses


def main(arguments: list[str]) -> int:
    """The command's exit code."""
    method, record, *command = arguments
    raise_loopback()
    if method != "packets":
        return subprocess.run(command, check=False).returncode
    take_all_addresses()
    with recorded() as found:
        code = subprocess.run(command, check=False).returncode
    lines = [f"{a.address} {a.port} {a.call} {count}\n" for a, count in sorted(found.items())]
    Path(record).write_text("".join(lines), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
