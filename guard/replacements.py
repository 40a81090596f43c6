"""What comes in the place of a step that is taken out: a safety trigger, a refusal, or nothing."""

from dataclasses import dataclass

from .channels import Channel
from .config import GuardConfig
from .decision import Verdict
from .prompt import Prompt
from .segmenter import Segmenter
from .triggers import Trigger, TriggerPool, TriggerSampler


@dataclass(frozen=True, slots=True)
class Replacement:
    """One text to be put in."""

    text: str
    """With the markup that leads to its channel; empty where the generation just ends."""

    trigger: Trigger | None = None
    """Whose text it is; `None` for a refusal, or for nothing."""


class Replacements:
    """One generation's: draws them, and keeps to the budgets of the config."""

    __slots__ = ("_config", "_prompt", "_sampler", "_seed", "_spent", "_triggers")

    def __init__(
        self, config: GuardConfig, prompt: Prompt, triggers: TriggerPool, stream_index: int
    ) -> None:
        self._config = config
        self._prompt = prompt
        self._triggers = triggers
        seed = config.seed if prompt.seed is None else prompt.seed
        self._seed = f"{seed}:{stream_index}:{prompt.request}"
        self._sampler: TriggerSampler | None = None  # made when first needed: it is rather big
        self._spent = dict.fromkeys(Channel, 0)

    def left(self, channel: Channel) -> int:
        """Interventions that the config still allows for steps of `channel`."""
        return self._config.budget(channel) - self._spent[channel]

    def draw(
        self, verdict: Verdict, channel: Channel, cue: str, segmenter: Segmenter
    ) -> Replacement:
        """What comes in the place of `cue`, a step of `channel`; a trigger counts as spent.

        `segmenter` stands where the text will go.
        """
        if verdict is Verdict.INTERVENE:
            self._spent[channel] += 1
            here = segmenter.channel  # where a tool call was: what it was made from
            trigger = self._draws().draw(in_answer=here is not Channel.REASONING)
            text = segmenter.lead_in(here) + trigger.render(self._prompt.request, cue)
            return Replacement(text, trigger)
        if verdict is Verdict.REFUSE:
            refusal = self._draws().choose(self._config.refusals)
            return Replacement(segmenter.lead_in(Channel.ANSWER) + refusal)
        return Replacement("")

    def _draws(self) -> TriggerSampler:
        if self._sampler is None:
            self._sampler = self._triggers.sampler(self._seed)
        return self._sampler
