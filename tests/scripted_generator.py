"""A generator that writes given texts: a whole evaluation in milliseconds, with known outcomes."""

from collections.abc import Callable, Sequence
from typing import Any

from rerail.train.evaluation_subject import Subject
from rerail.train.generation import Completion, Ended, Job, Sampling, Watch
from rerail.train.prompts import PromptRecord


class ScriptedGenerator:
    """`write(prompt, written, seed)` gives the text that follows what was written so far."""

    def __init__(
        self, tokenizer: Any, write: Callable[[PromptRecord, str, int], str], every: int = 16
    ) -> None:
        self.tokenizer = tokenizer
        self.end = tokenizer.get_vocab()[str(tokenizer.eos_token)]
        self.num_jobs = 0
        self.prompts: dict[tuple[int, ...], PromptRecord] = {}
        self._write = write
        self._every = every

    def generate(
        self, jobs: Sequence[Job], sampling: Sampling, watch: Watch | None = None
    ) -> list[Completion]:
        self.num_jobs += len(jobs)
        whole = [self._ids(job, sampling) for job in jobs]
        done: dict[int, Completion] = {}
        if watch is not None:
            for length in range(watch.every, max(map(len, whole), default=0), watch.every):
                looked = {
                    n: ids[:length]
                    for n, ids in enumerate(whole)
                    if len(ids) > length and n not in done
                }
                for number in watch.ended(looked) if looked else ():
                    done[number] = Completion(whole[number][:length], Ended.WATCH)
        for number, ids in enumerate(whole):
            stop = bool(ids) and ids[-1] == self.end
            done.setdefault(number, Completion(ids, Ended.STOP if stop else Ended.LENGTH))
        return [done[number] for number in range(len(jobs))]

    def _ids(self, job: Job, sampling: Sampling) -> tuple[int, ...]:
        known = max((ids for ids in self.prompts if job.ids[: len(ids)] == ids), key=len)
        so_far = self.tokenizer.decode(list(job.ids[len(known) :]))
        text = self._write(self.prompts[known], so_far, job.seed)
        ids = (*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end)
        return tuple(ids[: job.max_new_tokens or sampling.max_new_tokens])


def scripted_subject(
    tokenizer: Any,
    prompts: Sequence[PromptRecord],
    write: Callable[[PromptRecord, str, int], str],
) -> tuple[Subject, ScriptedGenerator]:
    """A subject that writes so, and its generator."""
    generator = ScriptedGenerator(tokenizer, write)
    subject = Subject("scripted", generator, tokenizer, frozenset({generator.end}))
    for each in prompts:
        generator.prompts[subject.prompt(each).ids] = each
    return subject, generator
