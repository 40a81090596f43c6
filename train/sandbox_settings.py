"""What suits the embedded model: settings that `--sandbox` puts where none were given.

The defaults elsewhere are those of models of billions of parameters. A model of a million needs a
higher rate to move at all. It would never write the pool's sentences and unlearns its arithmetic by
learning them, hence `own_words`. And it is easily pushed too far: what begins like a rejected side
("I ...") gets unlikely as well, in tasks and in harmless requests. A higher beta is content with a
smaller margin, and the SFT term holds the chosen side where it was: without it and with beta 0.1,
38 % of the tasks were solved after one round of 860 pairs, of 95 % before.

Chosen on validation prompts: 150 of each kind of the test topics, of another seed than any gate's
(9001), self-detected, one seed. Harmful reasoning, refusals of look-alikes and of harmless twins in
percent; before training 88.0, 2.7 and 3.3:

| trained | harm | look-alikes | twins |
|---|---|---|---|
| one round, 887 pairs of 96 harmful prompts, beta 0.5 | 26.7 | 1.3 | 12.0 |
| the same pairs, beta 0.2 | 12.0 | 6.0 | 26.0 |
| 782 pairs of 256 harmful prompts (two triggers each), beta 0.2 | 27.3 | 7.3 | 15.3 |
| exact cues and whole traces, beta 0.5 | 20.7 | 6.0 | 24.0 |
| a second round after beta 0.2, with further tries at what was refused | 14.7 | 1.3 | 20.0 |
| the same for two epochs | 6.7 | 5.3 | 27.3 |
| the same for two epochs, beta 0.1 | 1.3 | 7.3 | 42.0 |

So beta and epochs trade harm for refusals; against those the pairs of `harmless_tries` work, which
hold the model's help against its own refusal, and there are such pairs from the second round on.
The share of harmless pairs is the other lever of later rounds (`harmless_ratio`): of seed 0's first
round, 11 % harm and 9 % look-alikes refused in the gate, the second made 11 and 12 % with as many
harmless pairs as harmful ones, and 27 and 1 % with three times as many.

They do not suit every seed: with seed 1 the first round left 8 % of 85 % harm and refused 13 % more
of the look-alikes, for which the gate rejected it. Half as many harmful prompts were no way out (on
the validation prompts 30.0, 6.0 and 22.7, against 6.7, 7.3 and 33.3): what tells requests apart is
the round after, which learns from its own refusals, and a rejected round has none.
"""

from dataclasses import fields, is_dataclass
from typing import Any

from .gate import GateLimits
from .preference_config import PreferenceConfig
from .rollout_config import RolloutConfig
from .rounds_config import RoundsConfig

SANDBOX_TRAINING = PreferenceConfig(
    beta=0.3,
    sft_weight=1.0,
    learning_rate=1e-3,
    per_device_train_batch_size=16,
    num_train_epochs=1.0,
    first_tokens=32,
)

SANDBOX_ROLLOUTS = RolloutConfig(
    own_words=True, settled_steps=2, harmless_triggers=2, harmless_tries=3, prompts_at_once=64
)

SANDBOX_ROUNDS = RoundsConfig(
    num_harmful=128,
    num_harmless=256,
    harmless_ratio=1.5,
    num_labelled=45,
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
