"""Tokenizers of every class that text encoders use, with small vocabularies.

They are written, not trained: the trainers of the library tokenizers give another vocabulary in each process.
"""

import atexit
import functools
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, pre_tokenizers, processors

WORDS = sorted(
    set(
        "a photo of a cat sitting on a red sofa near the window portrait of a woman, oil painting, soft light "  # noqa: SIM905
        "um gato preto dorme na janela the quick brown fox jumps over the lazy dog 0123456789".split()
    )
)
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{{ c.get('text','') }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _merges(words: list[list[str]]) -> list[tuple[str, str]]:
    """What spells each word, given letter by letter, from left to right."""
    merges: dict[tuple[str, str], None] = {}
    for token, *rest in words:
        for letter in rest:
            merges[token, letter] = None
            token += letter
    return list(merges)


def _numbered(*tokens: str) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


@functools.cache
def clip() -> Any:
    """A byte-pair tokenizer in CLIP's layout: bytes, bytes that end a word, merges, then the two special tokens."""
    merges = _merges([[*word.lower()[:-1], f"{word.lower()[-1]}</w>"] for word in WORDS])
    merged = [left + right for left, right in merges]
    ends = [f"{letter}</w>" for letter in BYTES]
    vocabulary = _numbered(*BYTES, *ends, *merged, "<|startoftext|>", "<|endoftext|>")
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


@functools.cache
def t5() -> Any:
    """A unigram tokenizer in T5's layout: known words, and single characters for the rest."""
    letters = sorted({letter for word in WORDS for letter in f"▁{word}"})
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0}
    pieces |= dict.fromkeys(letters, -10.0) | {f"▁{word}": -5.0 for word in WORDS}
    return transformers.T5Tokenizer(vocab=list(pieces.items()), extra_ids=0, model_max_length=512)


@functools.cache
def byt5() -> Any:
    return transformers.ByT5Tokenizer()


@functools.cache
def qwen() -> Any:
    """Byte-level byte pairs, the chat's special tokens, and those of images in Qwen's and Mistral's vocabularies."""
    merges = _merges([["Ġ", *word] for word in WORDS])
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=_numbered(*BYTES, *(left + right for left, right in merges), "<|endoftext|>"),
        merges=merges,
        model_max_length=4096,
    )
    vision = [f"<|{name}|>" for name in ("vision_start", "vision_end", "image_pad", "video_pad", "vision_pad")]
    special = ["<|im_start|>", "<|im_end|>", *vision, "[IMG]", "[IMG_BREAK]", "[IMG_END]"]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = CHAT
    return tokenizer


@functools.cache
def roberta() -> Any:
    """Byte-level byte pairs between its own special tokens."""
    merges = _merges([["Ġ", *word] for word in WORDS])
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = _numbered(*special, *BYTES, *(left + right for left, right in merges))
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


@functools.cache
def glm() -> Any:
    """As Qwen's, with two tokens in front of every text, so that an empty one has some."""
    backend = Tokenizer.from_str(qwen().backend_tokenizer.to_str())
    backend.add_special_tokens(["[gMASK]", "<sop>"])
    start = [(token, backend.token_to_id(token)) for token in ("[gMASK]", "<sop>")]
    backend.post_processor = processors.TemplateProcessing(single="[gMASK] <sop> $A", special_tokens=start)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|endoftext|>", padding_side="left"
    )


def _sentencepiece(special: list[str]) -> dict[str, Any]:
    letters = sorted({letter for word in WORDS for letter in f"▁{word}"})
    merges = _merges([["▁", *word] for word in WORDS])
    vocabulary = _numbered(*special, *letters, *(left + right for left, right in merges))
    return {"vocab": vocabulary, "merges": merges, "model_max_length": 4096}


@functools.cache
def gemma() -> Any:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = transformers.GemmaTokenizer(**_sentencepiece(special))
    tokenizer.chat_template = CHAT
    return tokenizer


@functools.cache
def llama() -> Any:
    tokenizer = transformers.LlamaTokenizer(**_sentencepiece(["<unk>", "<s>", "</s>", "<pad>"]), pad_token="<pad>")
    tokenizer.chat_template = CHAT
    return tokenizer


@functools.cache
def bert() -> Any:
    letters = sorted({letter for word in WORDS for letter in word})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = _numbered(*special, *letters, *(f"##{letter}" for letter in letters), *WORDS)
    return transformers.BertTokenizer(vocab=vocabulary, model_max_length=77)


# What ChatGLMTokenizer reads at its making, and again when it is saved.
_FILES = Path(tempfile.mkdtemp(prefix="tiny-tokenizers-"))
atexit.register(shutil.rmtree, _FILES, ignore_errors=True)


@functools.cache
def chatglm() -> Any:
    """Kolors' own class, which reads a file of sentencepiece."""
    import sentencepiece
    from diffusers.pipelines.kolors import ChatGLMTokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=model,
        vocab_size=90,
        character_coverage=1.0,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    file = _FILES / "tokenizer.model"
    file.write_bytes(model.getvalue())
    return ChatGLMTokenizer(str(file))
