"""What suits the embedded model: settings that `--sandbox` puts where none were given.

The defaults elsewhere are those of models of billions of parameters. A model of a million needs a
higher rate to move at all. It would never write the pool's sentences and unlearns its arithmetic by
learning them, hence `own_words`. And it is easily pushed too far: what begins like a rejected side
("I ...") gets unlikely as well, in tasks too. After one round on the same 860 pairs, of 60 tasks
(95 % before) it solved 38 % with beta 0.1 and no SFT term (1.5 epochs), 95 % with beta 0.5 and the
term at 1 (1 epoch); harmful reasoning (83 % before) was at 23 % and 27 %. A higher beta is content
with a smaller margin, and the SFT term holds the chosen side where it was.
"""

from dataclasses import fields, is_dataclass
from typing import Any

from .gate import GateLimits
from .preference_config import PreferenceConfig
from .rollout_config import RolloutConfig
from .rounds_config import RoundsConfig

SANDBOX_TRAINING = PreferenceConfig(
    beta=0.5,
    sft_weight=1.0,
    learning_rate=1e-3,
    per_device_train_batch_size=16,
    num_train_epochs=1.0,
    first_tokens=32,
)

SANDBOX_ROLLOUTS = RolloutConfig(
    own_words=True, settled_steps=2, harmless_triggers=2, prompts_at_once=64
)

SANDBOX_ROUNDS = RoundsConfig(
    num_harmful=96,
    num_harmless=256,
    limits=GateLimits(slack=2.0),
    rollouts=SANDBOX_ROLLOUTS,
    training=SANDBOX_TRAINING,
)


def sandbox_flags() -> dict[str, Any]:
    """What these settings change, by the flags' names, as a command line's configuration takes it:
    for `--sandbox`, in every place that was not given."""
    return _changes(RoundsConfig(), SANDBOX_ROUNDS)


def _changes(usual: Any, suited: Any) -> dict[str, Any]:
    changed = {}
    for each in fields(usual):
        before, wanted = getattr(usual, each.name), getattr(suited, each.name)
        if is_dataclass(before):
            if inner := _changes(before, wanted):
                changed[each.name] = inner
        elif wanted != before:
            changed[each.name] = wanted
    return changed
