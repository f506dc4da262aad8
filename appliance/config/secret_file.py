"""Files that hold a secret of the appliance's own making."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def make_secret_file(file: Path, secret: str) -> None:
    """Write `secret` as one line, readable by its owner alone; a file that is there stays. Raises OSError.

    In one step, so that no half of it is ever read. Of several processes that make it at once one does, and the others
    read the same secret afterwards. What a killed one left of it is taken away.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as opened:
        # Whoever waits here holds the finished file, or a draft that has lost its name, when the lock is free.
        fcntl.flock(opened, fcntl.LOCK_EX)
        if file.exists():
            draft.unlink(missing_ok=True)
            return
        opened.truncate()
        os.fchmod(opened.fileno(), 0o600)
        opened.write(f"{secret}\n")
        opened.flush()
        draft.replace(file)
