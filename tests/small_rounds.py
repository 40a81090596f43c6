"""Settings of rounds that take seconds."""

from rerail.train.preference_config import PreferenceConfig
from rerail.train.rollout_config import RolloutConfig
from rerail.train.rounds_config import Finder, RoundsConfig

SMALL = RoundsConfig(
    detector=Finder.EXACT,
    rounds=1,
    num_harmful=4,
    num_harmless=4,
    num_gate=2,
    num_labelled=3,
    rollouts=RolloutConfig(num_triggers=2, max_interventions=2, max_new_tokens=160),
    training=PreferenceConfig(num_train_epochs=1, per_device_train_batch_size=2, use_cpu=True),
)
"""Promotes or rejects as chance has it."""
