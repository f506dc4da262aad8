"""What a process has loaded stays for as long as it lives."""

from __future__ import annotations

import gc


def settle() -> None:
    """Let collections of garbage leave out all that is there now; once, when a process is about to serve.

    A full collection walks through every object. Those of the modules and of the wiring are most of them and never
    become garbage, but each walk through them stops every answer for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
