"""What the viewer says in words about a trace: the same in the terminal, HTML and Markdown."""

from ..guard import Action, Channel, FinishReason, Intervention, Scanned, Trace
from .story import Kind, Row, Story

CHANNELS = {
    Channel.REASONING: "reasoning",
    Channel.ANSWER: "final answer",
    Channel.TOOL_CALL: "tool call",
    None: "markup",
}

NOT_STORED = "text not stored"


def score_text(score: float | None) -> str:
    """Two decimals, `-` where nothing was scored; never rounded up to 1.00."""
    if score is None:
        return "-"
    return f"{min(score, 0.99) if score < 1 else 1:.2f}"


def number_text(row: Row) -> str:
    """The step's number, from 1; nothing beside what is no step."""
    return "" if row.number is None else str(row.number + 1)


def row_score_text(row: Row) -> str:
    """The row's score; nothing beside markup, which is never scored."""
    return "" if row.kind is Kind.MARKUP else score_text(row.score)


def count(number: int, noun: str) -> str:
    """`1 token`, `2 tokens`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def headline(trace: Trace) -> str:
    """What happened, in one sentence or two."""
    sentence = _headline(trace)
    if trace.failures:
        sentence += f" The detector failed {count(len(trace.failures), 'time')}."
    if trace.scanned is not Scanned.ALL:
        part = "Part of the text" if trace.scanned is Scanned.PART else "The text"
        sentence += f" {part} was not scanned: this is no pass."
    if trace.finish_reason is FinishReason.LENGTH:
        sentence += " It was cut off at its length limit."
    elif trace.finish_reason in (FinishReason.CANCELLED, FinishReason.ERROR):
        sentence += f" The generation ended early ({trace.finish_reason.value})."
    return sentence


def _headline(trace: Trace) -> str:
    if trace.detector == "none":
        return "No guard was on."
    triggers = [each for each in trace.interventions if each.trigger_id is not None]
    refused = [each for each in trace.interventions if each.trigger_id is None]
    if not trace.interventions:
        passed = sum(step.verdict == "audit" for step in trace.steps)
        if passed:
            cues = count(passed, "compliance cue")
            return f"Audit only: {cues} let pass and recorded, nothing changed."
        return "No compliance cue was found; nothing was changed."
    if not triggers and trace.failures:
        return "What the detector could not read was taken out, and the generation ended there."
    if not triggers:
        return "A compliance cue was taken out and the generation was ended there."
    times = "once" if len(triggers) == 1 else f"{len(triggers)} times"
    first = triggers[0]
    sentence = (
        f"The guard intervened {times}: {'first, ' if len(triggers) > 1 else ''}"
        f"step {first.step_index + 1} was rolled back as a compliance cue "
        f"({score_text(first.probability)}) and a safety trigger put in its place."
    )
    if refused:
        return f"{sentence} The budget was spent, and the generation was ended with a refusal."
    worked = triggers[-1].succeeded
    if worked is None:
        return sentence
    return f"{sentence} No further cue followed." if worked else sentence


def action_words(action: Action) -> str:
    """An action as headings say it."""
    return {
        Action.ALLOW: "ALLOWED",
        Action.AUDIT: "AUDITED",
        Action.INTERVENE: "INTERVENED",
        Action.BLOCK: "BLOCKED",
    }[action]


def cue_word(row: Row) -> str:
    """What stands before `cue_words`."""
    return "CUE" if row.score is not None else "UNREAD"


def cue_words(row: Row, story: Story) -> str:
    """Of a removed row, after `cue_word`: score, limit, where it peaked, whether it was seen."""
    assert row.ordinal is not None
    trace = story.trace
    each = trace.interventions[row.ordinal]
    parts = [f"rolled back {count(len(each.rolled_back), 'token')}"]
    parts.append(limit_words(row, trace))
    if (
        row.peak is not None
        and row.peak.text.strip()
        and not row.complete
        and row.score is not None
    ):
        peak = " ".join(row.peak.text.split())
        parts.append(f"highest at “{peak}”")
    parts.append(_seen_words(trace))
    return "; ".join(part for part in parts if part)


def limit_words(row: Row, trace: Trace) -> str:
    """Which threshold a cue has reached."""
    if row.score is None:
        return "the detector failed here"
    channel = row.channel.value if row.channel is not None else ""
    limits = trace.thresholds.get(channel)
    if limits is None:
        return f"score {score_text(row.score)}"
    inside, end = limits
    if row.score >= inside:
        return f"score {score_text(row.score)} reached {inside:.2f}, the limit inside a step"
    return f"score {score_text(row.score)} reached {end:.2f}, the limit at a step's end"


def _seen_words(trace: Trace) -> str:
    if not trace.leaked_tokens:
        return "held, never released"
    if len(trace.interventions) == 1:
        return f"{count(trace.leaked_tokens, 'token')} had leaked and were taken back"
    return ""


def injected_words(each: Intervention) -> str:
    """Of what was put in: the word INJECTED stands before it."""
    if each.trigger_id is None:
        return "refusal, and the end"
    worked = {True: "no further cue followed", False: "a further cue followed", None: ""}
    words = f"safety trigger {each.trigger_id}"
    if each.trigger_kind:
        words += f" ({each.trigger_kind})"
    return "; ".join(part for part in (words, worked[each.succeeded]) if part)


def passed_words(row: Row, trace: Trace) -> str:
    """Of a cue that was let pass, after the word CUE."""
    return f"let pass and recorded; {limit_words(row, trace)}"


def beyond_cue(row: Row, each: Intervention) -> int:
    """Tokens of a removed row that the engine had run ahead beyond the cue."""
    text = row.text
    found = text.find(each.cue) if each.cue else -1
    end = found + len(each.cue) if found >= 0 else len(text)
    at = beyond = 0
    for piece in row.pieces:
        beyond += at >= end and bool(piece.text.strip())
        at += len(piece.text)
    return beyond


def facts(trace: Trace) -> list[tuple[str, str]]:
    """The footer: what decided, and the numbers."""
    kept = len(trace.tokens)
    injected = sum(each.num_injected for each in trace.interventions)
    rate = trace.sampled_tokens / trace.duration_s if trace.duration_s > 0 else 0.0
    hold = {"step": "each step until its verdict", "none": "nothing"}
    held = hold.get(trace.hold, f"{trace.hold} tokens")
    if trace.policy == "audit":
        held = "nothing"
    scores = [step.probability for step in trace.steps if step.probability is not None]
    highest = max(scores, default=None)
    rows = [
        ("model", trace.model),
        ("detector", trace.detector),
        ("thresholds", thresholds_words(trace)),
        ("highest score", score_text(highest)),
        ("policy", f"{trace.policy}, holding back {held}"),
        (
            "tokens",
            f"{kept} kept, {trace.sampled_tokens} sampled, {trace.num_rolled_back} rolled back, "
            f"{injected} injected, {trace.leaked_tokens} leaked",
        ),
        ("wait", f"at most {count(trace.wait_tokens, 'token')} until something was released"),
        ("time", f"{trace.duration_s:.2f} s, {rate:.0f} sampled tokens a second"),
        ("scanned", trace.scanned.value),
        ("ended by", trace.finish_reason.value),
    ]
    if trace.topic:
        rows.append(("topic", trace.topic))
    settings = dict(trace.sampling)
    if trace.seed is not None:
        settings["seed"] = trace.seed
    if settings:
        rows.append(("sampling", ", ".join(f"{name} {value}" for name, value in settings.items())))
    return rows


def thresholds_words(trace: Trace) -> str:
    """Channels with the same limits are named together."""
    if trace.detector == "none":
        return "none"
    by_limits: dict[tuple[float, float], list[str]] = {}
    for channel, (inside, end) in trace.thresholds.items():
        by_limits.setdefault((inside, end), []).append(channel.replace("_", " "))
    return "; ".join(
        f"{', '.join(names)} {end:.2f} at a step's end and {inside:.2f} inside"
        for (inside, end), names in by_limits.items()
    )
