"""The two lines at the browser's foot: where it is, and what the thresholds do or has just been
done."""

from rich.text import Text
from textual.widgets import Static

from .browse_steps import Steps
from .story import Firing, Kind
from .visible import one_line
from .wording import CHANNELS, count, cue_word, cue_words, score_text


class Status(Static):
    """Says what `steps` shows."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(id="status", markup=False)
        self._steps = steps
        self.place = ""
        """Which trace it is, of how many."""
        self.harmful = False
        """Whether its request counts as harmful, for the labels."""

    def show(self, note: str = "") -> None:
        """What is true now; `note` instead of the thresholds until something else happens."""
        width = max(20, self.app.size.width - 2)
        lines = [self._step_words(), note or self._threshold_words()]
        self.update(Text("\n".join(one_line(line, width) for line in lines)))

    def _step_words(self) -> str:
        steps = self._steps
        if not steps.rows or steps.story is None:
            return "nothing was generated"
        row = steps.rows[steps.selected]
        words = [self.place, CHANNELS[row.channel]]
        if row.number is not None:
            words.append(f"step {row.number + 1}, score {score_text(row.score)}")
        if steps.selected in steps.labels:
            words.append(f"marked {steps.labels[steps.selected].name.lower()}")
        if steps.labels:
            words.append(f"request {'harmful' if self.harmful else 'harmless'} (h)")
        if row.kind is Kind.REMOVED:
            words.append(f"{cue_word(row)} {cue_words(row, steps.story)}")
        elif row.kind is not Kind.STEP:
            words.append(row.kind.value)
        return "; ".join(words)

    def _threshold_words(self) -> str:
        steps = self._steps
        firings = [steps.firing(index) for index in range(len(steps.rows))]
        fires, unknown = firings.count(Firing.FIRES), firings.count(Firing.UNKNOWN)
        end = steps.threshold_end
        if end is None:
            return f"recorded thresholds: {count(fires, 'step')} fired (+ and - try others)"
        words = f"threshold {end:.2f}: {count(fires, 'step')} would fire (marked !)"
        if unknown:
            words += f", {unknown} cannot be told, being cut off before the end (marked ?)"
        return f"{words}; after the first the text would have gone on differently"
