"""What `chat` gives, whatever engine has generated it."""

from dataclasses import dataclass

from .traces import FinishReason, Trace


@dataclass(frozen=True, slots=True)
class ChatResult:
    """One generation under the guard."""

    reasoning: str
    """The chain of thought, without markup."""

    answer: str
    """Without markup; ends with the refusal if the guard refused."""

    finish_reason: FinishReason
    trace: Trace
    """Everything that the guard saw and did."""

    @classmethod
    def of(cls, trace: Trace) -> "ChatResult":
        """The result that a trace tells of."""
        return cls(trace.reasoning, trace.answer, trace.finish_reason, trace)
