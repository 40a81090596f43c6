"""The sandbox's model with everything that rollouts need, for several test files."""

from functools import cache

from rerail.guard.backend_transformers_loading import load
from rerail.train.completion_reader import CompletionReader
from rerail.train.cue_finders import ExactFinder
from rerail.train.generation_transformers import TransformersGenerator
from rerail.train.judges import ExactJudge
from rerail.train.rollouts import RolloutTools
from rerail.train.sandbox.shipped import model_folder
from rerail.train.trigger_sources import PoolSource


@cache
def sandbox_tools() -> RolloutTools:
    """Exact detector and judge, the built-in triggers."""
    generator = TransformersGenerator(*load(model_folder()))
    reader = CompletionReader(generator.tokenizer, generator.end_ids)
    return RolloutTools(generator, reader, ExactFinder(), PoolSource(), ExactJudge())
