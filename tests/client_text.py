"""What a client that follows the events ends up with."""

from collections.abc import Sequence

from rerail.guard import Event, Released, Retracted


def shown(events: Sequence[Event]) -> str:
    """The text on the client's screen; every event has to fit what stands there."""
    text = ""
    for event in events:
        if isinstance(event, Released):
            text += event.text
            assert len(text) == event.end
        elif isinstance(event, Retracted):
            assert text.endswith(event.text)
            text = text[: event.end]
    return text
