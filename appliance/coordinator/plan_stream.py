"""Reads a plan while it is written: each step as soon as its object is complete. Pure.

The reader knows just enough of JSON to see where a step begins and ends, in any white space; what stands between is
read by `json.loads` and judged by the same rules as a whole plan. It hands out steps early and judges nothing else: at
its end the text is parsed by `parse_plan`, unless the reader has seen a plan and nothing else (`graph`). Two things can
be said before that: that a step or what stands around it can be part of no plan (`flaw`), and that the text is larger
than any plan (`cut`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from enum import Enum, auto

from appliance.coordinator.task_graph import PlanRejected, Task, TaskGraph, read_step

CHARS_PER_TASK = 4_000
"""No plan is longer than this for each task allowed: a planner that writes on without end is stopped."""
BLANKS_IN_A_ROW = 1_000
"""Where a grammar allows white space anywhere, small models sometimes write nothing else."""

_PARTS = re.compile(r'[^"\\{}\[\],:\s]+|\s+|.', re.DOTALL)
_IN_STRING = re.compile(r'[^"\\]+|.', re.DOTALL)
_IN_STEP = re.compile(r'(?:[^"{}\s]++|\s{1,8}+(?=\S)|"(?:[^"\\]++|\\.)*+")++|\s+|.', re.DOTALL)
"""Inside a step only braces outside of strings tell where it ends, so all before them is taken at once."""
_WHOLE_STEP = r'\s{0,8}+(\{(?:[^"{}\s]++|\s{1,8}+(?=\S)|"(?:[^"\\]++|\\.)*+")*+\})'
_HEAD_AT_ONCE = re.compile(r'\s{0,8}+\{\s{0,8}+"steps"\s{0,8}+:\s{0,8}+\[')
_STEP_AT_ONCE = re.compile(_WHOLE_STEP, re.DOTALL)
_NEXT_AT_ONCE = re.compile(r"\s{0,8}+," + _WHOLE_STEP, re.DOTALL)
_END_AT_ONCE = re.compile(r"\s{0,8}+\]\s{0,8}+\}\s{0,8}+\Z")
"""What is usual, where it comes in one piece: so few blanks in a row are never too many."""
_ODD_BLANK = re.compile(r"[^\S \t\n\r]")
_HEAD = '{"steps":['
_HEAD_GAPS = (0, 1, 8, 9)
"""Where white space may stand in the head."""


class _Place(Enum):
    HEAD = auto()
    FIRST = auto()  # a step or the end of the list
    STEP = auto()
    AFTER = auto()  # a comma or the end of the list
    NEXT = auto()  # a step
    TAIL = auto()  # the brace that ends the plan
    END = auto()
    LOST = auto()


class PlanReader:
    """One plan as its text comes, in pieces of any size. `given` are ids from outside, as in `parse_plan`."""

    def __init__(self, skills: Collection[str], max_tasks: int, given: Collection[str] = ()) -> None:
        self.flaw = ""
        self.cut: PlanRejected | None = None
        self._skills = skills
        self._max_tasks = max_tasks
        self._known = set(given)
        self._tasks: list[Task] = []
        self._ready: list[Task] = []
        self._place = _Place.HEAD
        self._head = 0
        self._steps = self._chars = self._blanks = self._depth = 0
        self._step: list[str] = []
        self._in_string = self._escaped = False
        self._waiting: list[str] = []
        self._waiting_chars = 0

    def push(self, text: str) -> tuple[Task, ...]:
        """The steps that `text` completes; none after a flaw. Once it is cut, nothing is read any more."""
        self._chars += len(text)
        if self._chars > self._max_tasks * CHARS_PER_TASK:
            self._cut(f"longer than {self._max_tasks * CHARS_PER_TASK} characters")
        if self._place is _Place.STEP and self._may_wait(text):
            return ()
        if self._waiting:
            text, self._waiting, self._waiting_chars = "".join((*self._waiting, text)), [], 0
        position = 0
        while position < len(text) and self.cut is None:
            position = self._at_once(text, position) or self._by_parts(text, position)
        if not self._ready:
            return ()
        ready, self._ready = tuple(self._ready), []
        return ready

    def graph(self, text: str) -> TaskGraph | None:
        """The whole plan, where `text` is all that was pushed and nothing is left for `parse_plan` to find.

        The reader has judged every step by the same rules; white space that JSON does not know is beyond it.
        """
        if self._place is not _Place.END or not self._tasks or self.flaw or _ODD_BLANK.search(text):
            return None
        return TaskGraph(tuple(self._tasks))

    def _may_wait(self, text: str) -> bool:
        """Keep a piece of a step for later: without a brace it ends none, and there are too few blanks to cut it."""
        if "}" in text or self._blanks + self._waiting_chars + len(text) > BLANKS_IN_A_ROW or self.cut is not None:
            return False
        self._waiting.append(text)
        self._waiting_chars += len(text)
        return True

    def _at_once(self, text: str, position: int) -> int:
        """Take the head, a step or the end where all of it is there; returns where it ends, 0 where it is not."""
        place = self._place
        if self._blanks:
            return 0
        if place is _Place.AFTER:
            found = _NEXT_AT_ONCE.match(text, position)
        elif place is _Place.FIRST:
            found = _STEP_AT_ONCE.match(text, position)
        elif place is _Place.HEAD and not self._head:
            found = _HEAD_AT_ONCE.match(text, position)
        else:
            return 0
        if found is None:
            return self._end_at_once(text, position) if place is _Place.AFTER else 0
        self._blanks = 0
        if place is _Place.HEAD:
            self._place = _Place.FIRST
        else:
            self._begin()
            if self.cut is None:
                self._step = [found[1]]
                self._end()
        return found.end()

    def _end_at_once(self, text: str, position: int) -> int:
        found = _END_AT_ONCE.match(text, position)
        if found is None:
            return 0
        self._place = _Place.END
        self._blanks = len(text) - len(text.rstrip())
        return found.end()

    def _by_parts(self, text: str, position: int) -> int:
        """Take the next part, however small; returns where it ends."""
        part = self._parts().match(text, position)
        assert part is not None, "each pattern takes any character"
        self._take(part[0])
        return part.end()

    def _parts(self) -> re.Pattern[str]:
        """How the text is taken apart from here on."""
        if self._place is not _Place.STEP or self._escaped:
            return _PARTS
        return _IN_STRING if self._in_string else _IN_STEP

    def _take(self, part: str) -> None:
        blank = not self._in_string and part.isspace()
        self._blanks = self._blanks + len(part) if blank else 0
        if self._blanks > BLANKS_IN_A_ROW:
            self._cut(f"more than {BLANKS_IN_A_ROW} blanks in a row")
        elif self._place is _Place.STEP:
            self._inside(part)
        elif self._place is _Place.HEAD:
            self._in_head(part, blank)
        elif not blank and self._place is not _Place.LOST:
            self._between(part)

    def _in_head(self, part: str, blank: bool) -> None:
        if blank and self._head in _HEAD_GAPS:
            return
        if not _HEAD.startswith(part, self._head):
            self._lose("it does not begin with the list of steps")
            return
        self._head += len(part)
        if self._head == len(_HEAD):
            self._place = _Place.FIRST

    def _between(self, part: str) -> None:
        if part == "{" and self._place in (_Place.FIRST, _Place.NEXT):
            self._begin()
        elif part == "," and self._place is _Place.AFTER:
            self._place = _Place.NEXT
        elif part == "]" and self._place in (_Place.FIRST, _Place.AFTER):
            self._place = _Place.TAIL
        elif part == "}" and self._place is _Place.TAIL:
            self._place = _Place.END
        else:
            self._lose(f"no plan after step {self._steps}")

    def _begin(self) -> None:
        self._steps += 1
        if self._steps > self._max_tasks:
            self._cut(f"more than {self._max_tasks} steps")
            return
        self._place, self._step, self._depth = _Place.STEP, ["{"], 1

    def _inside(self, part: str) -> None:
        self._step.append(part)
        if self._escaped:
            self._escaped = False
        elif self._in_string:
            self._in_string = part != '"'
            self._escaped = part == "\\"
        elif part == '"':
            self._in_string = True
        elif part in ("{", "}"):
            self._depth += 1 if part == "{" else -1
            if not self._depth:
                self._end()

    def _end(self) -> None:
        self._place = _Place.AFTER
        text, self._step = "".join(self._step), []
        try:
            step = json.loads(text)
        except (ValueError, RecursionError):
            self._lose(f"step {self._steps}: not valid JSON")
            return
        task = read_step(step, self._skills, self._known)
        if isinstance(task, str):
            self.flaw = self.flaw or f"step {self._steps}: {task}"
        elif not self.flaw:
            self._known.add(task.task_id)
            self._tasks.append(task)
            self._ready.append(task)

    def _lose(self, why: str) -> None:
        """What comes can't be told apart any more; only its length still counts."""
        self.flaw = self.flaw or why
        self._place = _Place.LOST

    def _cut(self, why: str) -> None:
        self.flaw = self.flaw or why
        self.cut = PlanRejected((why,))
