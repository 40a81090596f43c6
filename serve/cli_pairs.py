"""`rerail pairs`: preference pairs out of the store, and their end."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..guard.store_query import PairFilter
from .cli_errors import UsageError, counted, say
from .extras import need
from .options import ModelChoice, Moment, Sampling, StorePlace, check_output


def export(
    *,
    out: Path,
    file_format: Annotated[
        Literal["jsonl", "parquet"] | None, Parameter(name=["--format", "-f"])
    ] = None,
    complete: bool = False,
    model: str | None = None,
    topic: str | None = None,
    trigger: str | None = None,
    trace: str | None = None,
    since: Moment = None,
    until: Moment = None,
    place: StorePlace = StorePlace(),  # noqa: B008  (frozen: sharing it is harmless)
) -> None:
    """Write preference pairs to a file: `prompt`, `chosen`, `rejected`, and the token ids of each.

    Examples

        rerail pairs export --out pairs.jsonl
        rerail pairs export --out pairs.parquet --complete --since 7d

    Parameters
    ----------
    out
        The file; it appears when it is whole.
    file_format
        By default the one that the file's name ends in, else jsonl.
    complete
        Only pairs whose rejected side goes to its end (`rerail pairs complete`).
    model
        Only this model's, by its whole name.
    topic
        Only those filed under this topic.
    trigger
        Only those of the trigger with this id.
    trace
        Only those of this trace, by its id or enough of its beginning.
    since
        Only those begun since: a date, a time, or an age such as `2h` or `7d`.
    until
        Only those begun before.
    """
    from ..guard.pair_files import export_pairs

    chosen = file_format or ("parquet" if out.suffix == ".parquet" else "jsonl")
    check_output(out)
    with place.open(read_only=True) as store:
        wanted = PairFilter(
            complete=True if complete else None,
            model=model,
            topic=topic,
            trigger=trigger,
            trace=None if trace is None else store.summary(trace).id,
            since=since,
            until=until,
        )
        exported = export_pairs(store.pairs(wanted), out, chosen)
    say(f"{counted(exported.pairs, 'pair')} written to {out}")
    if exported.incomplete:
        say(
            f"{exported.incomplete} of them end where the guard cut in; "
            "`rerail pairs complete` generates the rest"
        )


def complete(
    *,
    model: ModelChoice = ModelChoice(),  # noqa: B008
    sampling: Sampling = Sampling(),  # noqa: B008
    batch_size: int = 1,
    limit: int | None = None,
    seed: int = 0,
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Generate, without a guard, the original continuations that the live guard cut off.

    Only pairs that the named model made are completed. A run that is stopped goes on where it was.

    Examples

        rerail pairs complete --model sandbox
        rerail pairs complete --model ./my-model --temperature 0.6 --max-new-tokens 4096

    Parameters
    ----------
    batch_size
        Pairs to generate at once.
    limit
        Pairs to complete at most.
    seed
        Seed for the sampling.
    """
    if batch_size < 1:
        raise UsageError(f"--batch-size is {batch_size}: give at least 1")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}: give at least 1")
    need("hf")
    from ..guard.backend_transformers_identity import model_identity
    from ..guard.pair_completion import complete_pairs
    from ..guard.progress import progress
    from .models import continuations, load_weights

    with place.open() as store:
        others = store.count_pairs(PairFilter(complete=False))
        if not others:
            say("no pairs are left to complete")
            return
        loaded = load_weights(model)
        name = model_identity(loaded[0])
        wanted = PairFilter(model=name, complete=False, limit=limit)
        total = store.count_pairs(wanted)
        others -= total
        if not total:
            elsewhere = f"; other models have {others}" if others else ""
            say(f"no pairs of {name} are left to complete{elsewhere}")
            return
        continue_ = continuations(*loaded, sampling, seed)
        with progress("Completing pairs", total) as advance:
            result = complete_pairs(
                store, continue_, wanted, batch_size=batch_size, progress=lambda _: advance()
            )
    say(f"{counted(result.done, 'pair')} completed")


def purge(
    *,
    before: Moment = None,
    trace: tuple[str, ...] = (),
    everything: bool = False,
    keep_pairs: bool = False,
    place: StorePlace = StorePlace(),  # noqa: B008
) -> None:
    """Delete traces and their pairs for good, from the database's files too.

    Examples

        rerail pairs purge --before 30d
        rerail pairs purge --before 30d --keep-pairs
        rerail pairs purge --trace 0199c1
        rerail pairs purge --everything

    Parameters
    ----------
    before
        Those begun before: a date, a time, or an age such as `30d`.
    trace
        These traces, by id or enough of its beginning; may be given several times.
    everything
        All of them.
    keep_pairs
        Delete the traces only.
    """
    chosen = before is not None or bool(trace)
    if everything == chosen:
        raise UsageError("say what to delete: --before, --trace, or --everything alone")
    store_at = place.store
    if store_at is None or "://" not in store_at:
        place.open(read_only=True).close()  # a store that is not there must not be made here
    with place.open() as store:
        purged = store.purge(
            before=before, ids=trace or None, everything=everything, keep_pairs=keep_pairs
        )
    say(f"{counted(purged.traces, 'trace')} and {counted(purged.pairs, 'pair')} deleted")
    if not purged.wiped:
        say("another process is reading the store: the bytes go when the last one closes it")
