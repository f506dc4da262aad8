"""A simulated engine: continuous batching, chunked prefill, a KV cache in blocks with preemption, a prefix cache. Pure.

It schedules as vLLM does: what runs goes on, one token for each sequence that decodes and the rest of the budget of
tokens for prompts; then calls that wait are taken in, in their order, as long as there are slots and blocks for all of
their prompt. Where blocks run out, the call that was taken in last gives up all of its own and is computed anew later.

Between two changes of the batch nothing is stepped through: a step costs a linear function of the tokens in the KV
cache, so n decode steps in a row have a sum in closed form. A phase is one step with prompts in it, or such a row of
decode steps; a call that is known to come in the middle of a row ends it with the step that runs then.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.prefix_cache import PrefixCache
from appliance.capacity.sequence import Sequence

NEVER = math.inf
_ROUNDING = 1e-9
"""Of steps: a boundary that is nearer than this has been reached."""

Reached = tuple[Sequence, int]
"""A sequence, and a count of tokens among its stops that it has made now."""


class Engine:
    """One engine. Times are seconds of its device, which pass more slowly while others compute there too."""

    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile
        self._step = profile.step
        self._blocks = profile.kv_tokens // profile.block_size
        self._prefixes = PrefixCache()
        self._numbers = count()
        self._coming: list[tuple[float, int, Sequence]] = []
        self._waiting: deque[Sequence] = deque()
        self._running: dict[Sequence, None] = {}
        self._prefilling: list[Sequence] = []
        self._chunks: list[tuple[Sequence, int]] = []
        self._stops: list[tuple[int, int, Sequence]] = []
        self._turn = 0
        self._kv_tokens = 0  # that the sequences in decoding read in their next step
        self._own = 0  # blocks that running sequences will need of their own at their ends
        self._began_s = 0.0
        self._ends_s = NEVER
        self._steps = 0
        self.next_s = NEVER  # when something happens next, if nothing comes before
        self.busy = False  # whether it computes
        self.server_free_s = 0.0  # when its API server has done all that was sent here, and all that was generated
        self.server_part = 0.0  # of its API server's time, what the tokens of this phase take
        self.busy_s = 0.0
        self.preemptions = 0

    @property
    def kv_used_share(self) -> float:
        """Part of the KV cache that its sequences hold now."""
        return self._held() / self._blocks

    def submit(self, sequence: Sequence, now_s: float) -> None:
        """A call has been sent here."""
        self.server_free_s = max(now_s, self.server_free_s) + self.profile.server_s
        heappush(self._coming, (self.server_free_s + self.profile.call_s, next(self._numbers), sequence))
        if self._ends_s == NEVER:
            self.next_s = self._coming[0][0]
        elif self._steps > 1 and self._coming[0][2] is sequence:
            self._cut()

    def work(self, now_s: float) -> list[Reached]:
        """What has happened until now, in its order; `now_s` is `next_s`."""
        reached: list[Reached] = []
        if self._ends_s <= now_s:
            self._end_phase(reached)
        while self._coming and self._coming[0][0] <= now_s:
            self._waiting.append(heappop(self._coming)[2])
        self._begin(now_s)
        return reached

    def sequences(self) -> list[Sequence]:
        """All that are here."""
        return [*self._running, *self._waiting, *(sequence for _, _, sequence in self._coming)]

    def _begin(self, now_s: float) -> None:
        """Plan the next phase."""
        self._began_s = now_s
        pressed = self._own + self._prefixes.in_use > self._blocks
        preempted = pressed and self._preempt()
        if self._prefilling or (self._waiting and not preempted):
            self._take_in(may_admit=not preempted)
        decoding = len(self._running) - len(self._prefilling)
        if self._chunks:
            tokens = sum(chunk for _, chunk in self._chunks)
            context = sum(chunk * (s.computed + (chunk + 1) / 2) for s, chunk in self._chunks)
            self._phase(1, self._step.step_s(tokens, context, decoding, self._kv_tokens))
        elif decoding:
            steps = self._until_stop()
            if self._own + self._prefixes.in_use > self._blocks:
                steps = self._that_fit(steps)
            self._phase(steps, self._step.decode_s(steps, decoding, self._kv_tokens))
            if self._coming and steps > 1:
                self._cut()
        else:
            self._steps, self._ends_s, self.busy, self.server_part = 0, NEVER, False, 0.0
            self.next_s = self._coming[0][0] if self._coming else NEVER

    def _phase(self, steps: int, seconds: float) -> None:
        self._steps, self.busy = steps, True
        self._ends_s = self.next_s = self._began_s + seconds
        if self.profile.server_token_s:
            self.server_part = min(1.0, steps * self._tokens_s() / seconds)

    def _tokens_s(self) -> float:
        """What the tokens of one step take of the API server; those that end a prompt are left out."""
        return self.profile.server_token_s * (len(self._running) - len(self._prefilling))

    def _end_phase(self, reached: list[Reached]) -> None:
        """The steps of the phase have been made."""
        self.busy_s += self._ends_s - self._began_s
        if self.profile.server_token_s:  # they come step by step: what is behind at the end is the last one's at least
            each_s = self._tokens_s()
            behind_s = max(self.server_free_s, self._began_s) + self._steps * each_s
            self.server_free_s = max(behind_s, self._ends_s + each_s)
        self._turn += self._steps
        self._kv_tokens += self._steps * (len(self._running) - len(self._prefilling))
        while self._stops and self._stops[0][0] <= self._turn:
            _, number, sequence = heappop(self._stops)
            if sequence.decoding and sequence.number == number:
                self._count(sequence)
                self._stopped(sequence, reached)
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            for sequence, chunk in chunks:
                sequence.computed += chunk
                sequence.left -= chunk
                if not sequence.left:
                    self._prefilling.remove(sequence)
                    self._decodes(sequence, reached)

    def _decodes(self, sequence: Sequence, reached: list[Reached]) -> None:
        """Its prompt is computed, and with it the next token was made."""
        sequence.decoding = True
        sequence.made += 1
        sequence.turn = self._turn
        self._kv_tokens += sequence.prompt + sequence.made
        if sequence.made == sequence.stops[sequence.next_stop]:
            self._stopped(sequence, reached)
        else:
            self._await_stop(sequence)

    def _stopped(self, sequence: Sequence, reached: list[Reached]) -> None:
        """It has made as many tokens as its next stop says."""
        reached.append((sequence, sequence.made))
        sequence.next_stop += 1
        if sequence.next_stop == len(sequence.stops):
            self._drop(sequence)
        else:
            self._await_stop(sequence)

    def _await_stop(self, sequence: Sequence) -> None:
        sequence.number = next(self._numbers)
        at = self._turn + sequence.stops[sequence.next_stop] - sequence.made
        heappush(self._stops, (at, sequence.number, sequence))

    def _count(self, sequence: Sequence) -> None:
        """Bring its tokens up to now."""
        sequence.made += self._turn - sequence.turn
        sequence.turn = self._turn

    def _drop(self, sequence: Sequence) -> None:
        """It leaves the batch."""
        del self._running[sequence]
        self._own -= sequence.own_blocks
        if sequence.shared_blocks:
            self._prefixes.leave(sequence.prefix)
        if sequence.decoding:
            self._kv_tokens -= sequence.prompt + sequence.made
            sequence.decoding = False

    def _take_in(self, *, may_admit: bool) -> None:
        """Chunks of prompts for the next step: of those begun before, then of calls that wait."""
        budget = self.profile.max_num_batched_tokens - (len(self._running) - len(self._prefilling))
        for sequence in self._prefilling:
            budget = self._chunk(sequence, budget)
        while may_admit and self._waiting and budget > 0 and not self._full():
            if not self._admit(self._waiting[0]):
                break
            sequence = self._waiting.popleft()
            self._prefilling.append(sequence)
            budget = self._chunk(sequence, budget)

    def _chunk(self, sequence: Sequence, budget: int) -> int:
        chunk = min(sequence.left, budget)
        if chunk > 0:
            self._chunks.append((sequence, chunk))
        return budget - chunk

    def _admit(self, sequence: Sequence) -> bool:
        """Give it the blocks of its whole prompt, if they are there."""
        size, prefixes = self.profile.block_size, self._prefixes
        tokens = sequence.prompt + sequence.made
        shared = known = used = 0
        if sequence.shared_tokens and self.profile.prefix_caching:
            shared = min(sequence.shared_tokens, sequence.prompt - 1) // size
        if shared:
            used = prefixes.used_blocks(sequence.prefix)
            shared = min(shared, used) if used else shared
            known = min(shared, prefixes.known_blocks(sequence.prefix, self._blocks - self._own - prefixes.in_use))
        own_now, own = -(-tokens // size) - shared, -(-(sequence.prompt + sequence.completion - 1) // size) - shared
        newly_used = 0 if used else shared
        promised = self._own + prefixes.in_use + newly_used
        if promised + own > self._blocks and self._held(1) + newly_used + own_now > self._blocks:
            return False
        if shared:
            prefixes.take(sequence.prefix, shared)
        prefixes.hand_out(own)
        self._own += own
        self._running[sequence] = None
        sequence.shared_blocks, sequence.own_blocks = shared, own
        sequence.computed = known * size
        sequence.left = tokens - sequence.computed
        return True

    def _until_stop(self) -> int:
        """Decode steps until the next stop of any sequence."""
        while True:
            at, number, sequence = self._stops[0]
            if sequence.decoding and sequence.number == number:
                return at - self._turn
            heappop(self._stops)  # it was preempted since

    def _held(self, steps: int = 0) -> int:
        """Blocks that are held once so many steps more have been made; what has not been decoded needs its prompt's."""
        size, ahead = self.profile.block_size, steps - 1
        own = sum(-(-tokens // size) - shared for tokens, shared in self._sizes(ahead))
        return own + self._prefixes.in_use

    def _sizes(self, ahead: int) -> Iterator[tuple[int, int]]:
        for sequence in self._running:
            made = sequence.made + self._turn - sequence.turn + ahead if sequence.decoding else sequence.made
            yield sequence.prompt + made, sequence.shared_blocks

    def _that_fit(self, steps: int) -> int:
        """The most of these steps for which there are blocks; one is known to fit."""
        low, high = 1, steps
        while low < high:
            middle = (low + high + 1) // 2
            if self._held(middle) <= self._blocks:
                low = middle
            else:
                high = middle - 1
        return low

    def _preempt(self) -> bool:
        """Take the newest out until the next step fits; whether any was."""
        any_taken = False
        while len(self._running) > 1 and self._held(1) > self._blocks:
            sequence = next(reversed(self._running))
            if sequence.decoding:
                self._count(sequence)
            else:
                self._prefilling.remove(sequence)
            self._drop(sequence)
            self._waiting.appendleft(sequence)
            self.preemptions += 1
            any_taken = True
        return any_taken

    def _cut(self) -> None:
        """The next call comes in a row of decode steps: the step that runs then is the last one of the row."""
        passed_s = self._coming[0][0] - self._began_s
        if self._waiting or passed_s >= self._ends_s - self._began_s or self._full():
            return
        decoding = len(self._running)
        first = self._step.step_s(0, 0, decoding, self._kv_tokens)
        grows = self._step.kv_token_s * decoding / 2  # seconds = steps · (first − grows) + steps² · grows
        if grows * self._steps < 1e-12 * first:
            steps = passed_s / first
        else:
            steps = (math.sqrt((first - grows) ** 2 + 4 * grows * passed_s) - (first - grows)) / (2 * grows)
        whole = max(1, math.ceil(steps - _ROUNDING))
        if whole < self._steps:
            self._phase(whole, self._step.decode_s(whole, decoding, self._kv_tokens))

    def _full(self) -> bool:
        return len(self._running) >= self.profile.max_num_seqs
