"""Tiny models with random weights, written to disk as their libraries write large ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = ["red", "green", "blue", "cat", "dog", "cow", "oak", "elm", "ash", "tin"]


def write_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP of 24 projected columns, its byte-pair vocabulary of single bytes, and its image processor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    letters = _byte_letters()
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1}
    config = CLIPConfig(
        text_config={**small, **ends, "vocab_size": len(vocabulary), "max_position_embeddings": 40},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=24,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def write_bert(folder: Path, seed: int = 0) -> Path:
    """A BERT of 16 columns and a vocabulary of a few words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    config = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=20,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    return folder


def write_sentences(folder: Path, seed: int = 0) -> Path:
    """A sentence-transformers model: the BERT above, mean pooling, and scaling to unit length."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    bert = write_bert(folder.with_name(f"{folder.name}-bert"), seed)
    inner = modules.Transformer(str(bert), max_seq_length=20)
    SentenceTransformer(modules=[inner, modules.Pooling(16, "mean"), modules.Normalize()], device="cpu").save(
        str(folder)
    )
    return folder


def _byte_letters() -> list[str]:
    """The letters that byte-level pairs stand for bytes: printable ones themselves, others shifted past 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]
