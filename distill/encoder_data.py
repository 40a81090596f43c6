"""Puts together what the encoder is fitted on, in the proportions that the configuration says."""

import random
from dataclasses import replace

from .config import DistillConfig
from .encoder_examples import EncoderExample, request_examples, step_examples
from .openers import opener_examples
from .splits import Split


def encoder_examples(config: DistillConfig, data: Split) -> list[EncoderExample]:
    """The rows of one fit, seeded."""
    rng = random.Random(config.encoder_fit.seed)
    asked = [
        entry
        for entry in data.train_requests
        if rng.random() < config.request_shares.get(entry.source, 1.0)
    ]
    doubled = [
        replace(example, request=_small_letters(example.request, rng))
        for example in request_examples(
            entry for entry in asked if entry.source in config.doubled_sources
        )
    ]
    traces = [
        trace for trace in data.train if rng.random() < config.trace_shares.get(trace.source, 1.0)
    ]
    return [
        *request_examples(asked),
        *doubled,
        *opener_examples(asked, rng, config.opener_share),
        *step_examples(traces, rng, max_steps=config.max_steps, shares=config.step_shares),
    ]


def _small_letters(request: str, rng: random.Random) -> str:
    """Three in ten as a hurried user types them."""
    return request.lower().rstrip("?.!") if rng.random() < 0.3 else request
