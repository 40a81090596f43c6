"""Ids to text and back over four kinds of vocabulary, and rollbacks over random tokenisations."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from fakes import WordDetector
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from rerail.guard import (
    FORMATS,
    Author,
    Guard,
    Prompt,
    Token,
    TokenTable,
    Trace,
    Trigger,
    TriggerKind,
    TriggerPool,
)
from rerail.guard.backend_scripted import ScriptedStream
from rerail.guard.detokenizer import Vocabulary
from rerail.guard.events import Finished
from rerail.guard.loop import guarded

SENTENCES = [
    "All is well here. Nothing to see, and nothing to do.",
    "The plan is to mix the things, then to wait. Grüße, 你好, 😀.",
]
TRIGGER = "Wait, stop."


def trained(tokenizer: Tokenizer, alphabet: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        initial_alphabet=alphabet,
        show_progress=False,
        special_tokens=["<s>", "</s>", "<unk>"],
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return tokenizer


def byte_level(add_prefix_space: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def byte_fallback(prepend: bool) -> Tokenizer:
    """As Llama 2's (a blank goes before every text), or as Gemma's."""
    steps: list[Any] = [normalizers.Prepend("▁")] if prepend else []
    normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    draft = Tokenizer(models.BPE())
    draft.normalizer = normalizer
    model = json.loads(trained(draft, []).to_str())["model"]
    vocabulary = model["vocab"]
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizer
    strip = [decoders.Strip(" ", 1, 0)] if prepend else []
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte level": lambda: byte_level(False),
    "byte level, blank first": lambda: byte_level(True),
    "byte fallback, blank first": lambda: byte_fallback(True),
    "byte fallback": lambda: byte_fallback(False),
}


@cache
def made(kind: str) -> tuple[Tokenizer, Vocabulary, Mapping[bytes, int]]:
    tokenizer = KINDS[kind]()
    tokenizer.add_tokens(["<think>", "</think>"])
    end_id = tokenizer.token_to_id("</s>")
    assert end_id is not None
    vocabulary = Vocabulary(tokenizer, [end_id])
    added = tokenizer.get_added_tokens_decoder()
    ids = [each for each in range(tokenizer.get_vocab_size()) if each not in added]
    return tokenizer, vocabulary, {vocabulary.bytes_of(each): each for each in ids}


@st.composite
def tokenisations(draw: st.DrawFn, text: str, kind: str) -> list[int]:
    """One of the many ways to write `text`, seldom the tokenizer's own."""
    _, _, table = made(kind)
    rest = text.encode()
    longest = max(map(len, table))
    ids: list[int] = []
    while rest:
        sizes = [size for size in range(1, longest + 1) if rest[:size] in table]
        size = draw(st.sampled_from(sorted(set(sizes))))
        ids.append(table[rest[:size]])
        rest = rest[size:]
    return ids


texts = st.text(st.sampled_from("aewhTs .,\n<üß你😀́"), max_size=24)
kinds = st.sampled_from(sorted(KINDS))


@given(st.data(), kinds, texts)
def test_any_tokenisation_gives_the_text_and_says_where_characters_end(
    data: st.DataObject, kind: str, text: str
) -> None:
    ids = data.draw(tokenisations(text, kind))
    _, vocabulary, _ = made(kind)
    stream = vocabulary.stream()
    so_far, written = "", b""
    for token_id in ids:
        token = stream.token(token_id)
        so_far += token.text
        written += vocabulary.bytes_of(token_id)
        assert token.id == token_id
        assert token.clean is (so_far.encode() == written)
    assert so_far == text


@given(st.data(), kinds, texts)
def test_a_stream_restarts_after_any_clean_token(data: st.DataObject, kind: str, text: str) -> None:
    ids = data.draw(tokenisations(text, kind))
    _, vocabulary, _ = made(kind)
    stream = vocabulary.stream()
    tokens = [stream.token(each) for each in ids]
    cuts = [0, *(at + 1 for at, token in enumerate(tokens) if token.clean)]
    keep = data.draw(st.sampled_from(cuts))
    again = vocabulary.stream(ids[:keep])
    assert [again.token(each) for each in ids[keep:]] == tokens[keep:]


@given(st.data(), kinds, texts)
def test_texts_are_what_the_tokenizer_decodes_after_other_text(
    data: st.DataObject, kind: str, text: str
) -> None:
    ids = data.draw(tokenisations(text, kind))
    tokenizer, vocabulary, table = made(kind)
    before = [table[b"w"], table[b"e"]]
    stream = vocabulary.stream(before)
    whole = tokenizer.decode([*before, *ids], skip_special_tokens=False)
    assert whole == "we" + "".join(stream.token(each).text for each in ids)


@given(kinds, st.text(max_size=30))
def test_encoded_text_decodes_to_itself_in_the_middle_of_a_text(kind: str, text: str) -> None:
    """A blank put before it by the tokenizer would join the step to what it follows."""
    _, vocabulary, _ = made(kind)
    tokens = vocabulary.encode(text)
    assert "".join(token.text for token in tokens) == text
    assert not tokens or tokens[-1].clean


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_are_text_and_the_end_is_not(kind: str) -> None:
    tokenizer, vocabulary, _ = made(kind)
    stream = vocabulary.stream()
    think, end = tokenizer.token_to_id("<think>"), tokenizer.token_to_id("</s>")
    assert think is not None and end is not None
    unknown = tokenizer.get_vocab_size() + 7  # models have more rows than their tokenizer
    assert [stream.token(each) for each in (think, end, unknown)] == [
        Token(think, "<think>"),
        Token(end, ""),
        Token(unknown, ""),
    ]
    assert vocabulary.encode("</think>")[0].id == tokenizer.token_to_id("</think>")


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_encoded_in_the_words_that_the_model_knows(kind: str) -> None:
    """Spelling every byte would be exact too, and would tell the model nothing."""
    _, vocabulary, _ = made(kind)
    for text in ("Nothing to see", " Nothing to see"):
        assert len(vocabulary.encode(text)) <= 6


def test_only_what_normalisation_changes_is_spelled() -> None:
    tokenizer = byte_level(False)
    tokenizer.normalizer = normalizers.NFC()
    vocabulary = Vocabulary(tokenizer)
    text = "Nothing to see, cafe\u0301 here"
    tokens = vocabulary.encode(text)
    assert "".join(token.text for token in tokens) == text
    assert tokens[0].text == "Nothing"


def test_settings_for_batches_do_not_touch_what_is_encoded() -> None:
    tokenizer = byte_level(False)
    plain = Vocabulary(tokenizer).encode("Nothing to see, and nothing to do.")
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(3)
    assert Vocabulary(tokenizer).encode("Nothing to see, and nothing to do.") == plain


def test_other_decoders_are_read_with_the_library() -> None:
    tokenizer = Tokenizer(models.WordPiece({"all": 0, "is": 1, "##lo": 2, "[UNK]": 3}))
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    vocabulary = Vocabulary(tokenizer, [3])
    stream = vocabulary.stream([0])
    tokens = [stream.token(each) for each in (1, 2, 3, 0)]
    assert [token.text for token in tokens] == [" is", "lo", "", " all"]


class TokenisedBackend:
    """Streams given ids of a real vocabulary; after a rollback a calm sentence."""

    reasoning_format = FORMATS["none"]

    def __init__(self, vocabulary: Vocabulary, ids: list[int]) -> None:
        self._vocabulary = vocabulary
        self._ids = ids
        self._runs = 0

    def stream(
        self, prompt: Prompt, kept: TokenTable, sampling: Mapping[str, Any]
    ) -> ScriptedStream:
        self._runs += 1
        stream = self._vocabulary.stream(kept.known_ids())
        first = [stream.token(each) for each in self._ids]
        tokens = first if self._runs == 1 else self._vocabulary.encode(" All is well here.")
        return ScriptedStream(tokens, 1, 1000)

    def encode(self, text: str, prompt: Prompt, kept: TokenTable) -> list[Token]:
        return self._vocabulary.encode(text, kept.known_ids())


def guard_words(vocabulary: Vocabulary, ids: list[int]) -> Trace:
    pool = TriggerPool(
        [
            Trigger("a", TRIGGER, TriggerKind.RISK, in_answer=True),
            Trigger("b", TRIGGER, TriggerKind.RISK),
        ]
    )
    guard = Guard(WordDetector(at_end=["mix"]), triggers=pool)
    prompt = Prompt(messages=(), text="do it", ids=(0,))
    *_, last = guarded(TokenisedBackend(vocabulary, ids), guard, prompt)
    assert isinstance(last, Finished)
    return last.trace


BEFORE = st.sampled_from(
    ["", "Grüße. ", "All is well.\n\n", "你好。", "Nothing here!  ", "😀 ok. "]
)


@settings(max_examples=300)
@given(st.data(), kinds, BEFORE)
def test_a_rollback_over_any_tokenisation_keeps_whole_tokens_and_the_exact_text(
    data: st.DataObject, kind: str, before: str
) -> None:
    """The step may begin inside a token, or inside a character's bytes."""
    _, vocabulary, _ = made(kind)
    ids = data.draw(tokenisations(before + "The plan is to mix it. Then", kind))
    trace = guard_words(vocabulary, ids)
    [intervention] = trace.interventions
    assert trace.text == before + TRIGGER + " All is well here."

    kept = [
        token_id
        for token_id, author in zip(trace.tokens.ids, trace.tokens.authors, strict=True)
        if author is Author.SAMPLED
    ]
    assert kept[: intervention.keep] == ids[: intervention.keep]  # never tokenised again
    taken_out = intervention.rolled_back.ids
    assert taken_out == ids[intervention.keep : intervention.keep + len(taken_out)]

    stream = vocabulary.stream()
    known = trace.tokens.known_ids()
    assert "".join(stream.token(each).text for each in known) == trace.text
    assert re.match(r"\s*Wait", intervention.injected) or before.endswith("。")
