"""`python -m appliance` and the console command `appliance`."""

from __future__ import annotations

from appliance.cli.main import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
