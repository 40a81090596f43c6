"""The guarded loop over a Hugging Face model: the engine pushes tokens, the guard pulls it back.

`generate` runs as it always does, with one more stopping criterion. Rows that the guard ends with a
directive are resumed together in the next run, on their kept and injected ids, when the rows that
need nothing have finished. So rows without an intervention get exactly what the model alone gives.
In sampling, every resumed run draws from a seed of its own, which is drawn from the global
generator once the first intervention happens, and stands in the trace: `sampling["resume_seeds"]`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Event as Flag
from typing import Any

import torch
from transformers import StoppingCriteriaList

from .backend_transformers_output import Collector
from .backend_transformers_request import Request
from .backend_transformers_rows import OnEvents, Row, RowWatch
from .backend_transformers_runs import first_arguments, resumed_arguments, seeded
from .detokenizer import Vocabulary
from .guard import Guard
from .judge import judge
from .tokens import Token
from .traces import FinishReason


class Generation:
    """One guarded call of `generate`."""

    def __init__(
        self,
        model: Any,
        guard: Guard,
        vocabulary: Vocabulary,
        request: Request,
        rows: Sequence[Row],
        on_events: OnEvents | None = None,
        cancelled: Flag | None = None,
    ) -> None:
        self._model = model
        self._guard = guard
        self._vocabulary = vocabulary
        self._request = request
        self._rows = rows
        self._on_events = on_events
        self._cancelled = cancelled if cancelled is not None else Flag()
        self._seed: int | None = None

    def run(self) -> Any:
        """Generates to the end; the result is what the model's own `generate` would return.

        On an error, and when cancelled, what there is by then is recorded.
        """
        finish_reason = FinishReason.ERROR
        try:
            result = self._run()
            finish_reason = FinishReason.CANCELLED
            return result
        except KeyboardInterrupt:
            finish_reason = FinishReason.CANCELLED
            raise
        finally:
            for row in self._rows:
                if row.session.trace is None:
                    row.session.cancel(finish_reason)
                self._report(row)
                if row.session.num_tokens or finish_reason is not FinishReason.ERROR:
                    self._guard.finished(row.session)

    def _run(self) -> Any:
        request, detector = self._request, self._guard.detector
        collector = Collector(request)
        rows, arguments = list(self._rows), first_arguments(request)
        num_runs = 0
        while True:
            watch = RowWatch(rows, request, detector, self._on_events, self._cancelled)
            arguments["stopping_criteria"] = StoppingCriteriaList([*self._passed(num_runs), watch])
            with self._randomness(num_runs, rows):
                output = self._model.generate(**arguments)
            if self._cancelled.is_set():
                return None
            watch.finish()
            collector.take(output, rows, first=num_runs == 0)
            intervened = [row for row in rows if row.session.directive is not None]
            for row in intervened:
                self._put_in(row)
                collector.intervened(row)
            alone = len(rows) == 1
            rows = [row for row in intervened if row.session.trace is None]
            if not rows:
                return collector.result(self._rows)
            for position, row in enumerate(rows):
                row.position = position
            cache = getattr(output, "past_key_values", None) if alone else None
            arguments = resumed_arguments(self._model, request, rows, cache)
            num_runs += 1

    def _put_in(self, row: Row) -> None:
        """Follows the row's directive, as far as its budget of tokens goes."""
        session, request = row.session, self._request
        row.kept = len(session.tokens)
        while session.directive is not None:
            directive = session.directive
            tokens = self._vocabulary.encode(directive.text, session.context_ids)
            if not directive.resume and tokens and request.eos_ids:
                tokens.append(Token(self._end_id, ""))
            session.inject(tokens[: request.max_new_tokens - session.num_tokens])
            if directive.resume and session.num_tokens >= request.max_new_tokens:
                session.end(FinishReason.LENGTH)
            judge(self._guard.detector, [session])
        row.detokenizer = self._vocabulary.stream(session.context_ids)
        self._report(row)

    def _report(self, row: Row) -> None:
        if self._on_events is not None and (events := row.session.take_events()):
            self._on_events(row, events)

    @property
    def _end_id(self) -> int:
        ids = self._request.config.eos_token_id
        return ids if isinstance(ids, int) else ids[0]

    def _passed(self, num_runs: int) -> Sequence[Any]:
        """Of the caller's criteria those that `generate` has to see; a length limit counts from
        the first prompt, so in later runs it has become the rows' budget."""
        passed = self._request.passed
        return passed if num_runs == 0 else [x for x in passed if not hasattr(x, "max_length")]

    def _randomness(self, num_runs: int, rows: Sequence[Row]) -> AbstractContextManager[None]:
        if num_runs == 0 or not self._request.config.do_sample:
            return nullcontext()
        device = self._model.device
        if self._seed is None:
            self._seed = int(torch.randint(2**48, (), device=device).item())
        seed = self._seed + num_runs - 1
        for row in rows:
            sampling = row.session.prompt.sampling
            assert isinstance(sampling, dict), "every row's prompt has a dictionary of its own"
            sampling.setdefault("resume_seeds", []).append(seed)
        return seeded(device, seed)
