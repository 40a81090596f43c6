"""The embedded model's own settings stand where none were given, and nowhere else."""

from dataclasses import replace

from rerail.train.preference_config import PreferenceConfig
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rounds_config import RoundsConfig
from rerail.train.sandbox_settings import SANDBOX_ROUNDS, suited_to_sandbox


def test_what_was_left_at_its_default_is_the_sandbox_s() -> None:
    assert suited_to_sandbox(RoundsConfig()) == SANDBOX_ROUNDS
    assert SANDBOX_ROUNDS.training != PreferenceConfig()


def test_what_was_given_stays() -> None:
    given = RoundsConfig(
        rounds=2,
        num_harmful=7,
        seed=3,
        training=PreferenceConfig(learning_rate=2e-5),
        rollouts=RolloutConfig(num_triggers=3),
    )
    suited = suited_to_sandbox(given)
    assert (suited.rounds, suited.num_harmful, suited.seed) == (2, 7, 3)
    assert suited.training == replace(SANDBOX_ROUNDS.training, learning_rate=2e-5)
    assert suited.rollouts == replace(SANDBOX_ROUNDS.rollouts, num_triggers=3)
