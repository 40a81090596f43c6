"""`rerail trace watch` and `rerail trace browse`: traces as they come, and by hand."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import StorePlace, default_store
from .trace_options import Looks, Wanted


def watch(
    *,
    looks: Looks = Looks(),  # noqa: B008  (frozen: sharing it is harmless)
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Watch generations while they run, and traces as they are recorded; Ctrl-C ends it.

    Running generations of other processes are seen where those were started with `--watchable`.
    In a pipe, and with `--theme spoken`, everything is said line by line.

    Examples

        rerail trace watch
        rerail trace watch --theme spoken | grep CUE
    """
    from .watch import watch as follow

    store = place.open()  # made if need be: whoever watches may come first
    with store:
        console = looks.console()
        follow(place.store or default_store(), store, console, looks.chosen(console))


def browse(
    trace_id: str | None = None,
    /,
    *,
    labels: Annotated[Path, Parameter(name=["--labels"])] = Path("labels.jsonl"),
    limit: int = 1000,
    wanted: Wanted = Wanted(),  # noqa: B008
    looks: Looks = Looks(),  # noqa: B008
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Browse the traces with keys: steps, cues, thresholds; mark steps by hand as you look.

    Marks are written at once to a labelled file, which `rerail distill` takes as a teacher.

    Examples

        rerail trace browse
        rerail trace browse --action intervene --labels my-labels.jsonl

    Parameters
    ----------
    trace_id
        The trace to begin with, by its id or enough of its beginning.
    labels
        The labelled file; it is gone on with if it exists.
    limit
        Traces to take at most, the newest.
    """
    from .browse import browse as open_browser

    with place.open(read_only=True) as store:
        summaries = store.summaries(wanted.filter(limit=limit))
        first = store.summary(trace_id) if trace_id is not None else None
        if first is not None and all(each.id != first.id for each in summaries):
            summaries.insert(0, first)
        if not summaries:
            raise ValueError(f"the store {store.name} holds no such traces")
        at = [each.id for each in summaries].index(first.id) if first is not None else 0
        theme = looks.theme if looks.theme in ("dark", "light") else "dark"
        open_browser(store, summaries, labels, theme=theme, at=at)
