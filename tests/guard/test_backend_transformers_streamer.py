"""Streamers behind the guard: they get what is released."""

import threading
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_guarded import GREEDY, PROMPT, guarded, prompts, script  # noqa: E402
from tiny_models import tiny_tokenizer  # noqa: E402
from transformers import (  # noqa: E402
    TextIteratorStreamer,
    TextStreamer,
)

from rerail.guard import (  # noqa: E402
    GuardConfig,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class Recording(TextStreamer):
    """Records the ids put, and whether the end was told."""

    def __init__(self) -> None:
        self.put_ids: list[list[int]] = []
        self.ended = 0

    def put(self, value: Any) -> None:
        self.put_ids.append(value.flatten().tolist())

    def end(self) -> None:
        self.ended += 1


def test_a_streamer_gets_what_is_released_and_never_what_is_taken_out() -> None:
    guard, inputs, streamer = guarded(), prompts(), Recording()
    options = {**GREEDY, **script(inputs), "max_new_tokens": 60}
    output = guard.generate(**inputs, **options, streamer=streamer)
    assert streamer.put_ids[0] == inputs["input_ids"][0].tolist()
    assert all(len(ids) == 1 for ids in streamer.put_ids[1:])
    assert [each for ids in streamer.put_ids for each in ids] == output[0].tolist()
    assert streamer.ended == 1


def test_a_text_iterator_streamer_gives_the_text_in_another_thread() -> None:
    guard, inputs = guarded(), prompts()
    streamer = TextIteratorStreamer(tiny_tokenizer(), skip_prompt=True, timeout=60)
    options = {**inputs, **GREEDY, **script(inputs), "max_new_tokens": 60, "streamer": streamer}
    worker = threading.Thread(target=guard.generate, kwargs=options)
    worker.start()
    text = "".join(streamer)
    worker.join()
    [trace] = guard.last_traces
    assert text == tiny_tokenizer().decode(trace.tokens.known_ids())


def test_a_streamer_is_refused_where_it_would_lie() -> None:
    options = {**GREEDY, "max_new_tokens": 5, "streamer": Recording()}
    with pytest.raises(ValueError, match="one sequence"):
        guarded().generate(**prompts(PROMPT, "I"), **options)
    with pytest.raises(ValueError, match="take text back"):
        guarded(config=GuardConfig(hold="none")).generate(**prompts(), **options)
