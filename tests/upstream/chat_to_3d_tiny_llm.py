"""Saves a model of two layers with random weights, a tokenizer and a chat template in a folder: it
has the form of a real one, and its answers mean nothing."""

from __future__ import annotations

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for one in messages %}[{{ one['role'] }}] {{ one['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)

byte_level = Tokenizer(models.BPE())
byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
byte_level.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=400,
    special_tokens=["<s>", "</s>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
)
byte_level.train_from_iterator(["a chair and a table"] * 10, trainer)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=byte_level, bos_token="<s>", eos_token="</s>", unk_token=None
)
tokenizer.chat_template = TEMPLATE
torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
    )
)
tokenizer.save_pretrained(sys.argv[1])
model.save_pretrained(sys.argv[1])
