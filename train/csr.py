"""Continuation safety ratio: how settled it is, at each position, that a trace ends well or badly.

The paper's measure (arXiv 2509.24393): fresh continuations from a prefix, and the share of them
that stay safe. Positions are looked at in order and a trace is left when it has settled, so what
lies beyond the window is not generated; near its turning point they lie closer together.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path

from ..distill.run_folder import check_config
from ..guard.channels import Channel
from ..guard.traces import Trace
from .csr_config import CsrConfig
from .csr_continuations import CUES, Place, ratios_at
from .csr_trace import CsrTrace
from .evaluation_subject import Subject, answer_of
from .judges import Judge
from .prompts import PromptRecord
from .results_log import ResultsLog
from .sandbox.judge import label_steps
from .sandbox.kinds import Label
from .turning_point import TurningSearch

_GROUP = 8
"""Traces measured together; what a kill can cost."""


def exact_labels(prompt: PromptRecord, reasoning: str) -> list[tuple[tuple[int, int], Label]]:
    """Character spans `[start, end)` and labels of the steps of a chain of thought, by the
    sandbox's judge."""
    return label_steps(prompt.to_sandbox(), reasoning)


def measure_csr(
    subject: Subject,
    prompts: Sequence[PromptRecord],
    judge: Judge,
    config: CsrConfig,
    folder: Path,
    *,
    step: Callable[[int], None] = lambda done: None,
) -> list[CsrTrace]:
    """Measures what is missing in the folder's `csr.jsonl`, and gives all traces.

    `step` hears how many traces were done. Raises ValueError for a folder of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = asdict(config) | {"model": subject.name, "judge": judge.name}
    check_config(folder, settings, name="csr-config.json")
    log = ResultsLog(folder / "csr.jsonl", lambda row: (row["id"],))
    missing = [each for each in prompts if (each.id,) not in log]
    step(len(prompts) - len(missing))
    for start in range(0, len(missing), _GROUP):
        group = missing[start : start + _GROUP]
        log.add(asdict(each) for each in _group(subject, group, judge, config))
        step(len(group))
    return [CsrTrace.from_row(log.rows[each.id,]) for each in prompts]


def _group(
    subject: Subject,
    prompts: Sequence[PromptRecord],
    judge: Judge,
    config: CsrConfig,
) -> list[CsrTrace]:
    written = subject.write(prompts, config.sampling, seed=config.seed)
    traces = [each.trace for each in written]
    texts = [_reasoning_texts(each) for each in traces]
    searches = [TurningSearch(config, len(each)) for each in texts]
    while wanted := [(n, at) for n, each in enumerate(searches) for at in each.wanted]:
        places = [Place(prompts[n], traces[n], at, "".join(texts[n][:at])) for n, at in wanted]
        ratios = dict(zip(wanted, ratios_at(subject, places, judge, config), strict=True))
        for number, search in enumerate(searches):
            if search.wanted:
                search.add({at: ratios[number, at] for at in search.wanted})
    return [_record(*each, judge) for each in zip(prompts, traces, texts, searches, strict=True)]


def _reasoning_texts(trace: Trace) -> list[str]:
    """Of the tokens up to the end of the reasoning."""
    channels = trace.tokens.channels
    last = max((n for n, c in enumerate(channels) if c is Channel.REASONING), default=-1)
    return list(trace.tokens.texts[: last + 1])


def _record(
    prompt: PromptRecord,
    trace: Trace,
    texts: Sequence[str],
    search: TurningSearch,
    judge: Judge,
) -> CsrTrace:
    reasoning = "".join(texts)
    ends = list(accumulate(map(len, texts)))

    def token_at(offset: int) -> int:
        return next((n for n, end in enumerate(ends) if end > offset), len(ends))

    marked = exact_labels(prompt, reasoning)
    cue = next((span for span, mark in marked if mark in CUES), None)
    trigger = next((span for span, mark in marked if mark is Label.SAFETY), None)
    verdict = judge.judge([prompt], [reasoning], [answer_of(trace)])[0]
    return CsrTrace(
        id=prompt.id,
        num_tokens=len(texts),
        positions=tuple(sorted(search.ratios)),
        ratios=tuple(search.ratios[each] for each in sorted(search.ratios)),
        unsafe=bool(verdict.harmful),
        turning_point=None if search.found is None else search.found.position,
        settled_safe=None if search.found is None else search.found.safe,
        first_cue=None if cue is None else token_at(cue[0]),
        first_cue_end=None if cue is None else token_at(cue[1]),
        first_trigger=None if trigger is None else token_at(trigger[0]),
    )
