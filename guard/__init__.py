"""The guard: reads a chain of thought as it streams and puts it back on the rails.

Importing this package loads neither torch nor transformers; `GuardedModel` and `GuardedVllm`
bring them when used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .channels import Channel
from .config import GuardConfig, OnDetectorError, Policy, WhenSpent
from .detector import Detector, Message, Threshold, Thresholds
from .events import (
    DetectorFailed,
    Event,
    Finished,
    Released,
    Retracted,
    RolledBack,
    StepJudged,
    TriggerInjected,
)
from .guard import Guard
from .loop import guarded
from .pairs import Pair, pairs_of
from .prompt import Prompt
from .reasoning_format import FORMATS, ReasoningFormat
from .segmenter import Segmenter
from .session import Session
from .steps import Step
from .tokens import Author, Token, TokenTable
from .traces import Action, FinishReason, Intervention, Scanned, Trace
from .triggers import Trigger, TriggerKind, TriggerPool

if TYPE_CHECKING:
    from .model import GuardedModel
    from .model_vllm import GuardedVllm
    from .store import Store

_LAZY = {"GuardedModel": ".model", "GuardedVllm": ".model_vllm", "Store": ".store"}

__all__ = [
    "FORMATS",
    "Action",
    "Author",
    "Channel",
    "Detector",
    "DetectorFailed",
    "Event",
    "FinishReason",
    "Finished",
    "Guard",
    "GuardConfig",
    "GuardedModel",
    "GuardedVllm",
    "Intervention",
    "Message",
    "OnDetectorError",
    "Pair",
    "Policy",
    "Prompt",
    "ReasoningFormat",
    "Released",
    "Retracted",
    "RolledBack",
    "Scanned",
    "Segmenter",
    "Session",
    "Step",
    "StepJudged",
    "Store",
    "Threshold",
    "Thresholds",
    "Token",
    "TokenTable",
    "Trace",
    "Trigger",
    "TriggerInjected",
    "TriggerKind",
    "TriggerPool",
    "WhenSpent",
    "guarded",
    "pairs_of",
]


def __getattr__(name: str) -> Any:
    """Loads what needs torch or a database only when it is asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
