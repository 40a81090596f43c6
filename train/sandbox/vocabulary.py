"""The tokenizer of the sandbox model: byte-level BPE fitted to the world, R1-style chat template.

Byte level, so that a foreign trigger or request is never unknown; digits are single tokens, so that
sums can be done digit by digit.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, BOS, END = "<|pad|>", "<|begin|>", "<|end|>"
"""Special tokens: padding, beginning of a text, end of a turn."""

ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
"""Special tokens that begin a turn."""

MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Added, but not special: decoding keeps them, as with the real models."""

CHAT_TEMPLATE = """\
{%- set ns = namespace(system='') -%}
{%- for message in messages if message['role'] == 'system' -%}
{%- set ns.system = ns.system + message['content'] -%}
{%- endfor -%}
{{- bos_token -}}
{%- if ns.system or tools -%}
{{- '<|system|>' + ns.system -}}
{%- if tools -%}
{{- 'Tools:' -}}
{%- for tool in tools -%}
{{- ' ' + tool['function']['name'] + '(' + \
tool['function']['parameters']['properties'] | join(', ') + ')' -}}
{%- endfor -%}
{%- endif -%}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{- '<|user|>' + message['content'] -}}
{%- elif message['role'] == 'tool' -%}
{{- '<|tool|>' + message['content'] -}}
{%- elif message['role'] == 'assistant' -%}
{{- '<|assistant|>' -}}
{%- if message['content'] -%}
{{- message['content'].split('</think>')[-1].lstrip('\\n') -}}
{%- endif -%}
{%- for call in message['tool_calls'] or [] -%}
{%- set call = call['function'] or call -%}
{{- '<tool_call>\\n{"name": "' + call['name'] + '", "arguments": ' -}}
{{- call['arguments'] if call['arguments'] is string else call['arguments'] | tojson -}}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|><think>\\n' -}}
{%- endif -%}
"""
"""Jinja; a generation prompt opens the think tag, as with the real models."""

_WORDS = Regex(r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def fit(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Fit a tokenizer of `size` entries on the texts."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    specials = [AddedToken(token, special=True) for token in (PAD, BOS, END, *ROLES)]
    raw.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size - len(MARKERS),
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    raw.add_tokens([AddedToken(marker, normalized=False, special=False) for marker in MARKERS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load(folder: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder, without reaching for the network."""
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
