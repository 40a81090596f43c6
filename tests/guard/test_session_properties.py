"""What holds of the core loop for any text, however it is cut into tokens."""

import itertools
from collections.abc import Sequence

from client_text import shown
from fakes import WordDetector
from hypothesis import given
from hypothesis import strategies as st

from rerail.guard import (
    FORMATS,
    Action,
    Author,
    Guard,
    GuardConfig,
    Policy,
    Retracted,
    RolledBack,
    Scanned,
    Token,
    TriggerInjected,
    guarded,
)
from rerail.guard.backend_scripted import ScriptedBackend

PIECES = st.lists(
    st.sampled_from(
        [
            *("bad ", "EVIL", "one ", "two. ", "So.\n", "3.14 ", "!", "e.g. ", '"', "`", "x" * 50),
            *("é", "日本。", "¡", "\n\n", " "),
            *("</think>", "<think>", "<tool_call>", "</tool_call>", "<|end|><|start|>assistant"),
            *("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
            "<|channel|>commentary to=functions.f<|message|>",
        ]
    ),
    min_size=1,
    max_size=25,
)


def tokenised(text: str, cuts: Sequence[int]) -> list[Token]:
    """`text` as tokens cut at arbitrary bytes: a character may take several tokens."""
    data = text.encode()
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    tokens, done = [], ""
    for number, (_, end) in enumerate(itertools.pairwise(places)):
        whole = data[:end].decode(errors="ignore")
        clean = len(whole.encode()) == end
        tokens.append(Token(number, whole[len(done) :], clean))
        done = whole
    return tokens


@given(
    texts=st.lists(PIECES.map("".join), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=60),
    hold=st.sampled_from(["step", "none", 1, 4]),
    group=st.sampled_from([1, 3, 100]),
    reasoning_format=st.sampled_from(["r1", "qwen3", "harmony", "none"]),
)
def test_rollback_release_and_provenance(
    texts: list[str], cuts: list[int], hold: str | int, group: int, reasoning_format: str
) -> None:
    """Whatever the tokenisation: the client's text is the trace's, nothing leaks from a held step,
    every token is accounted for, and each context is the one before without what was taken out."""
    backend = ScriptedBackend(
        [tokenised(text, cuts) for text in texts],
        group=group,
        reasoning_format=FORMATS[reasoning_format],
    )
    guard = Guard(
        WordDetector(inside=["EVIL"], at_end=["bad"]),
        GuardConfig(hold=hold, max_interventions=2),  # type: ignore[arg-type]
    )
    events = list(guarded(backend, guard, backend.prompt("do it")))
    trace = events[-1].trace  # type: ignore[union-attr]
    assert shown(events) == trace.text
    removed = [each.rolled_back for each in trace.interventions]
    if hold == "step":
        assert trace.leaked_tokens == 0
        assert not any(isinstance(event, Retracted) for event in events)
    sampled = sum(author is Author.SAMPLED for author in trace.tokens.authors)
    assert sampled + sum(len(each) for each in removed) == trace.sampled_tokens
    resumed = [each for each in trace.interventions if each.trigger_id is not None]
    assert len(backend.contexts) == 1 + len(resumed)
    for (text, ids), each in zip(backend.contexts[1:], resumed, strict=True):
        end = each.keep + each.num_injected
        assert ids == trace.tokens.known_ids()[:end]
        assert text == "".join(trace.tokens.texts[:end])
        assert text.endswith(each.injected)
    rolled_back = [event for event in events if isinstance(event, RolledBack)]
    injected = [event for event in events if isinstance(event, TriggerInjected)]
    assert len(rolled_back) == len(trace.interventions) >= len(injected)
    if trace.action is not Action.BLOCK or trace.interventions[-1].probability is not None:
        assert trace.scanned is Scanned.ALL


@given(PIECES.map("".join), st.lists(st.integers(0, 400), max_size=60))
def test_chunking_changes_no_verdict(text: str, cuts: list[int]) -> None:
    detector = WordDetector(at_end=["bad"])
    whole = ScriptedBackend([[Token(0, text)]])
    cut = ScriptedBackend([tokenised(text, cuts)])
    config = GuardConfig(policy=Policy.AUDIT)
    traces = [
        list(guarded(backend, Guard(detector, config), backend.prompt("x")))[-1].trace  # type: ignore[union-attr]
        for backend in (whole, cut)
    ]
    assert [(s.text, s.verdict, s.channel) for s in traces[0].steps] == [
        (s.text, s.verdict, s.channel) for s in traces[1].steps
    ]
