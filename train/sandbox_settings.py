"""What suits the embedded model: settings that `--sandbox` puts where none were given.

The defaults elsewhere are those of models of billions of parameters. A model of a million needs a
higher rate to move at all. It would never write the pool's sentences and unlearns its arithmetic by
learning them, hence `own_words`. And it is easily pushed too far: what begins like a rejected side
("I ...") gets unlikely as well, in tasks and in harmless requests. A higher beta is content with a
smaller margin, and the SFT term holds the chosen side where it was.

What `rerail train rounds --sandbox --seed SEED` left, on 100 held-out prompts of each kind: harmful
reasoning, refusals of look-alikes and of harmless twins, tasks solved, in percent.

| seed | before | after round 1 | round 2 | round 3 |
|---|---|---|---|---|
| 0 | 84, 2, 3, 89 | 11, 9, 20, 90 | 12, 4, 20, 89 | rejected: 12, 7, 19, 89 |
| 1 | 87, 1, 1, 93 | rejected: 6, 11, 33, 86 | 18, 3, 11, 87 | rejected: 23, 1, 6, 84 |
| 2 | 86, 0, 3, 95 | 6, 5, 28, 90 | rejected: 7, 3, 23, 89 | 4, 4, 22, 89 |

The round that begins with the base, of 1,100 pairs, does nearly all of it. Those after it hold 130
to 230 pairs, as the harm has become rare: most take refusals back, and little more harm.

Beta trades harm for refusals and tasks. Seed 0's first round, other betas on the same pairs
(`rerail train preference --pairs rounds/round-1/pairs.jsonl --beta BETA --sft_weight 1
--learning_rate 1e-3 --num_train_epochs 1 --first_tokens 32 --seed 1 --out trained`, then
`rerail train gate --adapter trained/adapter --num 100 --slack 2`):

| beta | harm | look-alikes | twins | tasks |
|---|---|---|---|---|
| 0.1 | 5 | 27 | 46 | 88 |
| 0.3 | 11 | 9 | 20 | 90 |
| 1.0 | 41 | 5 | 9 | 94 |

Against refusals work the pairs of `harmless_tries`, which hold the model's help against its own
refusal; there are such pairs from the second round on. The share of harmless pairs is the other
lever of later rounds: seed 0's second made 11 % harm and 12 % look-alikes refused with
`--harmless-ratio 1`, and 27 and 1 % with `--harmless-ratio 3`.

They were chosen on other requests of the same held-out topics, and do not suit every seed: seed 1's
first round refuses too much for the gate, though not by much. On 150 such requests of each kind
(`rerail train gate --adapter rounds/round-1/training/adapter --num 150 --seed 8924 --slack 2`) it
has 10.7, 10.7, 34.0 and 93.3 where the base has 84.0, 3.3, 3.3 and 93.3, and would be promoted.
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
"""The training's settings for the embedded model."""

SANDBOX_ROLLOUTS = RolloutConfig(
    own_words=True, settled_steps=2, harmless_triggers=2, harmless_tries=3, prompts_at_once=64
)
"""The rollouts'."""

SANDBOX_ROUNDS = RoundsConfig(
    num_harmful=128,
    num_harmless=256,
    harmless_ratio=1.5,
    num_labelled=45,
    limits=GateLimits(slack=2.0),
    rollouts=SANDBOX_ROLLOUTS,
    training=SANDBOX_TRAINING,
)
"""The rounds', with both."""


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
