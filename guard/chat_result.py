"""What `chat` gives, whatever engine has generated it."""

from dataclasses import dataclass

from .traces import FinishReason, Trace


@dataclass(frozen=True, slots=True)
class ChatResult:
    """One generation under the guard."""

    reasoning: str
    """The chain of thought, without markup."""

    answer: str
    finish_reason: FinishReason
    trace: Trace
    """Everything that the guard saw and did."""

    @classmethod
    def of(cls, trace: Trace) -> "ChatResult":
        return cls(trace.reasoning, trace.answer, trace.finish_reason, trace)
