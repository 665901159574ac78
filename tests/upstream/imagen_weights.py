"""Weights of imagen's five models in small: the real networks with random numbers.

Needs the packages of ``templates/stacks/imagen/triton/requirements.lock``.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from spandrel import ModelLoader

from lab.paths import cache
from lab.upstream.files import cached
from workstation import mirror, pins

ROOT = Path(__file__).resolve().parents[2]


def birefnet() -> Path:
    """Return the pinned source: the folder that the variable BIREFNET names, or a clone."""
    if given := os.environ.get("BIREFNET"):
        return Path(given)
    known = mirror.load(os.environ.get("MIRROR", ""))
    pin = pins.load(ROOT / "pins.yml", known.pins).sources["birefnet"]

    def clone(target: Path) -> None:
        for words in (
            ["init", "--quiet", str(target)],
            ["-C", str(target), "fetch", "--quiet", "--depth=1", known.url(pin.url), pin.commit],
            ["-C", str(target), "checkout", "--quiet", pin.commit],
        ):
            subprocess.run(["git", *words], check=True)

    folder = cache() / "upstream" / f"birefnet-{pin.commit}"
    if not folder.exists():
        cached(folder, clone)
    return folder


def esrgan(path: Path) -> Path:
    """Save weights with the names of RealESRGAN_x4plus.pth (RRDBNet of basicsr), but two blocks of
    16 channels instead of 23 of 64."""
    torch.manual_seed(0)
    values = {}

    def convolution(name: str, inside: int, outside: int) -> None:
        layer = torch.nn.Conv2d(inside, outside, 3)
        torch.nn.init.kaiming_normal_(layer.weight, 0.2)
        torch.nn.init.zeros_(layer.bias)
        values.update({f"{name}.{key}": value for key, value in layer.state_dict().items()})

    wide, grown = 16, 32
    convolution("conv_first", 3, wide)
    for block, part, index in itertools.product(range(2), range(1, 4), range(1, 6)):
        outside = wide if index == 5 else grown
        convolution(f"body.{block}.rdb{part}.conv{index}", wide + (index - 1) * grown, outside)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        convolution(name, wide, wide)
    convolution("conv_last", wide, 3)
    # Its colors are where colors are: otherwise everything would be black or white.
    with torch.inference_mode():
        network = ModelLoader().load_from_state_dict(dict(values)).model.eval()
        result = network(torch.rand(1, 3, 64, 64))
        deviation, middle = torch.std_mean(result, (0, 2, 3))
        values["conv_last.weight"] *= (0.2 / deviation)[:, None, None, None]
        values["conv_last.bias"] = 0.5 - middle * 0.2 / deviation
    torch.save({"params_ema": values}, path)
    return path


# The network's modules have common names, so they are imported in another process.
_LITE = """\
import os, sys
sys.path.insert(0, sys.argv[1])
import config, torch
from safetensors.torch import save_file
base = config.Config
def tiny(self):
    base_init(self)
    self.bb = "swin_v1_t"
    self.lateral_channels_in_collection = [1536, 768, 384, 192]
    self.cxt = [192, 384, 768]
base_init = base.__init__
base.__init__ = tiny
from models.birefnet import BiRefNet
torch.manual_seed(0)
values = BiRefNet(bb_pretrained=False).state_dict()
# As training with torch.compile saves them, and with half the size.
save_file({"_orig_mod." + k: v.half().contiguous() for k, v in values.items()}, sys.argv[2])
"""


def birefnet_lite(path: Path) -> Path:
    """Save a BiRefNet with its smallest Swin backbone, like the weights BiRefNet_lite."""
    subprocess.run([sys.executable, "-c", _LITE, str(birefnet()), str(path)], check=True)
    return path


def _tokenizer(folder: Path) -> Any:
    """Return a tokenizer that knows letters, in CLIP's form."""
    letters = [*"abcdefghijklmnopqrstuvwxyz,.0123456789"]
    words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges = folder / "merges.txt"
    merges.write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)


def _text(projection: bool = False) -> Any:
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    config = transformers.CLIPTextConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=32,
        bos_token_id=76,
        eos_token_id=77,
        pad_token_id=77,
    )
    return kind(config).eval()


def _autoencoder() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=[8, 16, 16, 16],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=8,
    )


def _network(**further: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
        **further,
    )


def stable_diffusion(folder: Path) -> Path:
    """Save a tiny Stable Diffusion 1.5."""
    torch.manual_seed(0)
    diffusers.StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=_text(),
        tokenizer=_tokenizer(folder.parent / "tokenizer"),
        unet=_network(),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def refiner(folder: Path) -> Path:
    """Save a tiny Stable Diffusion XL refiner, with one text encoder and the names of fp16."""
    torch.manual_seed(0)
    # Its network also takes five numbers (sizes, crop, score) and the text as a whole.
    network = _network(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=5 * 8 + 32,
    )
    diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=_autoencoder(),
        text_encoder=None,
        text_encoder_2=_text(projection=True),
        tokenizer=None,
        tokenizer_2=_tokenizer(folder.parent / "tokenizer"),
        unet=network,
        scheduler=diffusers.EulerDiscreteScheduler(),
        requires_aesthetics_score=True,
    ).save_pretrained(folder, variant="fp16")
    return folder


def all_five(store: Path) -> dict[str, str]:
    """Save weights for all models; return the variables that name them."""
    return {
        "UPSCALE_MODEL": str(esrgan(store / "esrgan.pth")),
        "ENHANCE_MODEL": str(refiner(store / "refiner")),
        "STYLE_COMIC_MODEL": str(stable_diffusion(store / "comic")),
        "STYLE_AGED_MODEL": str(stable_diffusion(store / "aged")),
        "BACKGROUND_REMOVE_MODEL": str(birefnet_lite(store / "model.safetensors")),
        "BIREFNET": str(birefnet()),
    }
