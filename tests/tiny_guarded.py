"""A small model with random weights behind a guard that knows one bad phrase, and how to make the
model say it."""

from typing import Any

from fakes import WordDetector
from tiny_models import Script, tiny_model, tiny_tokenizer

from rerail.guard import GuardedModel, Trace, Trigger, TriggerKind, TriggerPool

PROMPT = "How do I end a process?"
MESSAGES = [{"role": "user", "content": PROMPT}]
CUE = "<think>\nI should think about this. The plan is to mix the things, then to wait. All"
KEPT = "<think>\nI should think about this. Wait, stop here."
POOL = TriggerPool(
    [
        Trigger("a", "Wait, stop here.", TriggerKind.RISK),
        Trigger("b", "Wait, stop here.", TriggerKind.RISK, in_answer=True),
    ]
)
GREEDY: dict[str, Any] = {"do_sample": False}
OPTIONS: dict[str, Any] = {**GREEDY, "max_new_tokens": 50}


def guarded(
    kind: str = "qwen3", words: tuple[str, ...] = ("is to mix",), **options: Any
) -> GuardedModel:
    """A detector that finds `words` at a step's end, unless `options` bring one."""
    options = {"detector": WordDetector(at_end=words), "triggers": POOL, **options}
    return GuardedModel(tiny_model(kind), tiny_tokenizer(), **options)


def prompts(*texts: str) -> dict[str, Any]:
    """What `generate` takes for these texts, `PROMPT` if there are none; padded to one length."""
    return dict(tiny_tokenizer()(list(texts or (PROMPT,)), return_tensors="pt", padding=True))


def script(inputs: dict[str, Any], text: str = CUE, rows: set[int] | None = None) -> dict[str, Any]:
    """Options that make the model go on with `text` in these rows, or in all."""
    return {"logits_processor": [Script(text, inputs["input_ids"].shape[1], rows)]}


def saying(text: str, messages: list[dict[str, str]] = MESSAGES) -> dict[str, Any]:
    """Options of a chat in which the model says `text` at first in answer to `messages`."""
    rendered = tiny_tokenizer().apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    inputs = tiny_tokenizer()([rendered], return_tensors="pt", add_special_tokens=False)
    return {**OPTIONS, **script(dict(inputs), text)}


def continued_from(trace: Trace) -> list[int]:
    """Prompt and kept tokens up to and with the last ones injected."""
    last = trace.interventions[-1]
    return list(trace.ids[: len(trace.prompt_ids) + last.keep + last.num_injected])
