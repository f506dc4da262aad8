"""`python -m appliance` and the console command `appliance`."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line. It is imported here, so that a Ctrl-C while Python still reads it has no traceback."""
    try:
        from appliance.cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
