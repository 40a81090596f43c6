"""`rerail trace browse`: traces with keys, thresholds to try, steps to label by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

try:
    from textual.app import App, ComposeResult
    from textual.binding import Binding, BindingType
    from textual.containers import Horizontal
    from textual.widgets import Footer, Input, OptionList
    from textual.widgets.option_list import Option
except ImportError as error:
    raise ImportError("browsing needs Textual: pip install 'rerail[viewer]'") from error

from rich.text import Text

from ..guard.store import Store
from ..guard.store_errors import StoreError
from ..guard.store_query import TraceFilter, TraceSummary
from .browse_status import Status
from .browse_steps import Steps
from .label_book import LabelBook, Mark
from .story import Kind, Story
from .themes import THEMES
from .visible import one_line, visible
from .wording import score_text

_STEP = 0.05
_LIST_WIDTH = 40


class Browser(App[None]):
    """The list of traces at the left, the steps of one of them at the right."""

    ENABLE_COMMAND_PALETTE = False

    CSS = f"""
    OptionList {{ width: {_LIST_WIDTH}; height: 1fr; border: none; padding: 0; }}
    OptionList.hidden {{ display: none; }}
    Steps {{ width: 1fr; height: 1fr; }}
    #status {{ height: 2; padding: 0 1; }}
    #search {{ display: none; }}
    #search.asked {{ display: block; }}
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "step"),
        Binding("up,k", "move(-1)", "step", show=False),
        Binding("right,right_square_bracket", "trace(1)", "trace"),
        Binding("left,left_square_bracket", "trace(-1)", "trace", show=False),
        Binding("g", "cue(1)", "next cue"),
        Binding("G", "cue(-1)", "cue before", show=False),
        Binding("space", "fold", "fold"),
        Binding("f", "fold_all", "fold all"),
        Binding("slash", "search", "search"),
        Binding("full_stop", "find", "again", show=False),
        Binding("plus,equals_sign", f"threshold({_STEP})", "threshold up"),
        Binding("minus", f"threshold({-_STEP})", "down"),
        Binding("0", "recorded", "recorded", show=False),
        Binding("c", "mark('C')", "cue"),
        Binding("s", "mark('S')", "safe"),
        Binding("n", "mark('N')", "neutral"),
        Binding("u", "mark('')", "unmark"),
        Binding("h", "harmful", "harmful?"),
        Binding("t", "traces", "traces", show=False),
        Binding("escape", "leave", show=False),
        Binding("question_mark", "show_help_panel", "keys"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self,
        store: Store,
        summaries: Sequence[TraceSummary],
        book: LabelBook,
        *,
        theme: Literal["dark", "light"] = "dark",
        at: int = 0,
    ) -> None:
        super().__init__()
        self._store = store
        self._summaries = list(summaries)
        self._book = book
        self._at = at
        self._words = ""
        self._starts_with = theme
        self.steps = Steps(THEMES[theme])
        self._status = Status(self.steps)

    def compose(self) -> ComposeResult:
        """The list, the steps, the status line and the keys."""
        options = [Option(self._title(each), id=str(i)) for i, each in enumerate(self._summaries)]
        with Horizontal():
            yield OptionList(*options, id="traces", markup=False)
            yield self.steps
        yield self._status
        yield Input(placeholder="search for", id="search")
        yield Footer()

    def on_mount(self) -> None:
        """Opens the first trace; in a narrow terminal the list is hidden."""
        self.theme = f"textual-{self._starts_with}"
        self.query_one("#traces").set_class(self.size.width < 110, "hidden")
        self.steps.focus()
        self._open(self._at)

    # -- keys ---------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Selects the step so many further on."""
        self.steps.select(self.steps.selected + by)

    def action_trace(self, by: int) -> None:
        """Opens the trace so many further on, if there is one."""
        if 0 <= self._at + by < len(self._summaries):
            self._open(self._at + by)

    def action_cue(self, by: int) -> None:
        """The next cue after the selected step, or before it; from the last one to the first."""
        cues, at = self.steps.cues, self.steps.selected
        if not cues:
            self._status.show("this trace has no cue")
        elif by > 0:
            self.steps.select(next((cue for cue in cues if cue > at), cues[0]))
        else:
            self.steps.select(next((cue for cue in reversed(cues) if cue < at), cues[-1]))

    def action_fold(self) -> None:
        """Folds or unfolds the selected branch."""
        at = self.steps.selected
        if self.steps.rows and self.steps.rows[at].kind is Kind.REMOVED:
            self.steps.fold(self.steps.folded ^ {at})
        else:
            self._status.show("only a rolled-back branch can be folded: g goes to the next one")

    def action_fold_all(self) -> None:
        """Folds every branch that was rolled back, or unfolds them all."""
        rows = enumerate(self.steps.rows)
        removed = {index for index, row in rows if row.kind is Kind.REMOVED}
        self.steps.fold(set() if removed <= self.steps.folded else removed)

    def action_search(self) -> None:
        """Asks what to search for."""
        box = self.query_one("#search", Input)
        box.add_class("asked")
        box.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Searches from the trace's beginning on."""
        self._words = event.value
        self.action_leave()
        self._find(after=-1)

    def action_find(self) -> None:
        """Goes to the next place, in this trace or a later one."""
        self._find(after=self.steps.selected)

    def action_leave(self) -> None:
        """Back to the steps, from whatever was asked or shown."""
        self.action_hide_help_panel()
        self.query_one("#search", Input).remove_class("asked")
        self.steps.focus()

    def action_threshold(self, by: float) -> None:
        """Moves the threshold at a step's end; the one inside is never below it."""
        now = self.steps.threshold_end
        if now is None and self.steps.rows:
            limits = self.steps.threshold(self.steps.rows[self.steps.selected])
            now = limits.end if limits is not None else 0.5
        self._try(round(min(1.0, max(0.0, (now or 0.0) + by)), 2))

    def action_recorded(self) -> None:
        """Back to the recorded thresholds."""
        self._try(None)

    def action_mark(self, letter: str) -> None:
        """Labels the selected step, in the file at once."""
        marks = dict(self.steps.labels)
        marks.pop(self.steps.selected, None)
        if letter:
            marks[self.steps.selected] = Mark(letter)
            self._status.harmful = self._status.harmful or letter == Mark.CUE
        if self._write(marks):
            self._status.show(f"{'marked' if letter else 'unmarked'} in {self._book.path}")

    def action_harmful(self) -> None:
        """Says of the request that it is harmful, or that it is not."""
        harmful = self._status.harmful = not self._status.harmful
        if not self.steps.labels or self._write(self.steps.labels):
            self._status.show(f"the request counts as {'harmful' if harmful else 'harmless'}")

    def action_traces(self) -> None:
        """Shows the list and goes there, or hides it."""
        traces = self.query_one("#traces")
        traces.toggle_class("hidden")
        (self.steps if traces.has_class("hidden") else traces).focus()

    # -- what the widgets tell ----------------------------------------------------------------

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Opens the trace that was chosen in the list."""
        self._open(event.option_index)
        self.steps.focus()

    def on_steps_moved(self) -> None:
        """Another step is selected."""
        self._status.show()

    # -- inside -------------------------------------------------------------------------------

    def _open(self, at: int) -> None:
        try:
            story = Story.of(self._store.get(self._summaries[at].id))
        except StoreError as error:  # purged since the list was made
            self._status.show(str(error))
            return
        self._at = at
        self._status.place = f"trace {at + 1} of {len(self._summaries)}"
        self._status.harmful = bool(self._book.harmful(story))
        self.steps.open(story, self._book.marks(story))
        self.query_one("#traces", OptionList).highlighted = at
        self._status.show()

    def _try(self, threshold_end: float | None) -> None:
        self.steps.threshold_end = threshold_end
        self.steps.refresh()
        self._status.show()

    def _write(self, marks: Mapping[int, Mark]) -> bool:
        assert self.steps.story is not None
        try:
            self._book.write(self.steps.story, marks, harmful=self._status.harmful)
        except (ValueError, OSError) as error:
            self._status.show(f"not marked: {error}")
            return False
        self.steps.labels = marks
        self.steps.refresh()
        return True

    def _find(self, after: int) -> None:
        if not self._words:
            return
        found = self.steps.find(self._words, after)
        if found is not None:
            return self.steps.select(found)
        ids = {each.id for each in self._store.summaries(TraceFilter(contains=self._words))}
        later = [*range(self._at + 1, len(self._summaries)), *range(self._at)]
        at = next((index for index in later if self._summaries[index].id in ids), None)
        if at is None:
            return self._status.show(f"no trace holds {visible(self._words)!r}")
        self._open(at)
        self.steps.select(self.steps.find(self._words, -1) or 0)

    def _title(self, summary: TraceSummary) -> Text:
        score = score_text(summary.max_score)
        request = one_line(summary.request, _LIST_WIDTH - 18)
        return Text(f"{score:>4} {summary.action.value:<9} {request}", no_wrap=True)


def browse(
    store: Store,
    summaries: Sequence[TraceSummary],
    labels: Path,
    *,
    theme: Literal["dark", "light"] = "dark",
    at: int = 0,
) -> None:
    """Opens the browser on these traces, and returns when it is closed.

    Raises `ValueError` for a labelled file that cannot be gone on with.
    """
    Browser(store, summaries, LabelBook(labels), theme=theme, at=at).run()
