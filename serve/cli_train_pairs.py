"""`rerail train pairs`: preference pairs from rollouts, the store and files, ready to train on."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..train.pairing import PairingConfig
from .cli_errors import UsageError, counted, say
from .options import StorePlace, check_output

if TYPE_CHECKING:
    from ..guard import Pair


def pairs(
    *,
    out: Path,
    rollouts: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    files: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    from_store: bool = False,
    held_out_file: Path | None = None,
    place: StorePlace = StorePlace(),  # noqa: B008  (frozen: sharing it is harmless)
    pairing: Annotated[PairingConfig, Parameter(name="*")] = PairingConfig(),  # noqa: B008
) -> None:
    """Make preference pairs from rollouts, the live store and files: filtered, balanced, mixed.

    Examples

        rerail train pairs --rollouts rollouts --out pairs.jsonl
        rerail train pairs --rollouts a b --from-store --harmless-ratio 1 --out pairs.parquet
        rerail train pairs --files old.jsonl --held-out 0.1 --held-out-file held.jsonl \\
            --out new.jsonl

    Parameters
    ----------
    out
        The file, JSONL or parquet by its suffix; it appears when it is whole.
    rollouts
        Folders of `rerail train rollouts`.
    files
        Files of pairs.
    from_store
        Take the store's pairs too, those that `rerail pairs complete` has completed.
    held_out_file
        A file for the pairs that `--held-out` keeps apart.
    """
    if not rollouts and not files and not from_store:
        raise UsageError(
            "there is nothing to make pairs of: give --rollouts, --files, --from-store"
        )
    if (pairing.held_out > 0) != (held_out_file is not None):
        raise UsageError("--held-out and --held-out-file belong together: give both or neither")
    from ..guard.pair_files import export_pairs
    from ..train.pairing import make_pairs

    targets = [out] if held_out_file is None else [out, held_out_file]
    for path in targets:
        check_output(path)
    made = make_pairs(_sources(rollouts, files, place if from_store else None), pairing)
    for path, chosen in zip(targets, (made.pairs, made.held_out), strict=False):
        export_pairs(chosen, path, "parquet" if path.suffix == ".parquet" else "jsonl")
    for why, number in sorted(made.left_out.items()):
        say(f"{counted(number, 'pair')} left out: {why}")
    counts = made.counts
    stages = (
        f"{counts.get('harmful', 0)} of harmful, {counts.get('harmless', 0)} of harmless prompts"
    )
    say(f"{counted(len(made.pairs), 'pair')} written to {out}: {stages}")


def _sources(
    rollouts: tuple[Path, ...], files: tuple[Path, ...], place: StorePlace | None
) -> Iterator["Pair"]:
    from ..distill.run_folder import read_record
    from ..guard.pair_files import read_pairs
    from ..guard.store_query import PairFilter
    from ..train.pairing import pairs_of_rollouts
    from ..train.rollout_store import read_rollouts

    for folder in rollouts:
        model = (read_record(folder / "config.json") or {}).get("model", "unknown")
        yield from pairs_of_rollouts(read_rollouts(folder), model)
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(2, "there is no such file", str(path))
        yield from read_pairs(path)
    if place is not None:
        with place.open(read_only=True) as store:
            yield from store.pairs(PairFilter())
