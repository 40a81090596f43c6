"""One process of a run under `accelerate launch`: half the batch of the run that it is held to."""

import sys
from pathlib import Path

from preference_pairs import id_pairs

from rerail.train.preference import train_preference
from rerail.train.preference_config import PreferenceConfig

if __name__ == "__main__":
    train_preference(
        PreferenceConfig(
            model_name_or_path=sys.argv[1],
            use_cpu=True,
            lora_r=4,
            learning_rate=5e-3,
            num_train_epochs=2,
            per_device_train_batch_size=2,
            save_steps=2,
            logging_steps=1,
            warmup_steps=0,
        ),
        id_pairs(16),
        Path(sys.argv[2]),
    )
