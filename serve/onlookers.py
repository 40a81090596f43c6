"""Who may look on while a command generates: the terminal it runs in, and other processes."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from ..guard import Guard, Session, Trace
from .live_channel import LiveWriter
from .trace_options import Looks


@contextmanager
def onlookers(guard: Guard, store: str | None, *, live: bool) -> Generator[None]:
    """Shows the guard's sessions while the block runs: to `rerail trace watch` on this store, if
    one is named, and on this terminal's whole screen if `live`.

    Raises `StoreError` if nothing can be written beside the store.
    """
    watches: list[Callable[[Session], None]] = []
    with ExitStack() as stack:
        if store is not None:
            watches.append(stack.enter_context(LiveWriter(store)).watch)
        if live:
            from .watch import live_run

            console = Looks().console()
            watches.append(stack.enter_context(live_run(console, Looks().chosen(console))))

        def watch_all(session: Session) -> None:
            for watch in watches:
                watch(session)

        guard.watch = watch_all if watches else None
        yield


def draw(trace: Trace) -> None:
    """The whole trace on stdout, as `rerail trace show` draws it."""
    from .trace_render import render

    console = Looks().console()
    console.print(render(trace, console.width, Looks().chosen(console)), soft_wrap=True, end="")
