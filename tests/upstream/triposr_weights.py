"""TripoSR's weights in small: upstream's real network with random numbers.

Needs the packages that the backend ``local`` of the stack chat-to-3d imports.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from transformers import ViTConfig

from lab.paths import cache
from lab.upstream.files import cached
from workstation import mirror, pins

ROOT = Path(__file__).resolve().parents[2]

CHANNELS, PLANE = 64, 8
ENCODER = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "intermediate_size": 96,
    "image_size": 64,
    "patch_size": 16,
}
CONFIG: dict[str, Any] = {
    "cond_image_size": 64,
    "image_tokenizer_cls": "tsr.models.tokenizers.image.DINOSingleImageTokenizer",
    "image_tokenizer": {"pretrained_model_name_or_path": "facebook/dino-vitb16"},
    "tokenizer_cls": "tsr.models.tokenizers.triplane.Triplane1DTokenizer",
    "tokenizer": {"plane_size": PLANE, "num_channels": CHANNELS},
    "backbone_cls": "tsr.models.transformer.transformer_1d.Transformer1D",
    "backbone": {
        "in_channels": "${tokenizer.num_channels}",
        "num_attention_heads": 2,
        "attention_head_dim": 32,
        "num_layers": 2,
        "cross_attention_dim": ENCODER["hidden_size"],
    },
    "post_processor_cls": "tsr.models.network_utils.TriplaneUpsampleNetwork",
    "post_processor": {"in_channels": CHANNELS, "out_channels": 8},
    "decoder_cls": "tsr.models.network_utils.NeRFMLP",
    "decoder": {"in_channels": 24, "n_neurons": 16, "n_hidden_layers": 3, "activation": "silu"},
    "renderer_cls": "tsr.models.nerf_renderer.TriplaneNeRFRenderer",
    "renderer": {
        "radius": 0.87,
        "feature_reduction": "concat",
        "density_activation": "exp",
        "density_bias": -1.0,
        "num_samples_per_ray": 128,
    },
}
"""As the real config.yaml, with smaller numbers, except ``renderer``."""


def source() -> Path:
    """Return the pinned source: the folder that the variable TRIPOSR names, or a clone."""
    if given := os.environ.get("TRIPOSR"):
        return Path(given)
    known = mirror.load(os.environ.get("MIRROR", ""))
    pin = pins.load(ROOT / "pins.yml", known.pins).sources["triposr"]

    def clone(target: Path) -> None:
        for words in (
            ["init", "--quiet", str(target)],
            ["-C", str(target), "fetch", "--quiet", "--depth=1", known.url(pin.url), pin.commit],
            ["-C", str(target), "checkout", "--quiet", pin.commit],
        ):
            subprocess.run(["git", *words], check=True)

    folder = cache() / "upstream" / f"triposr-{pin.commit}"
    if not folder.exists():
        cached(folder, clone)
    return folder


def model(folder: Path, system: Any, images: Any) -> Path:
    """Save a small TripoSR whose surface is somewhere.

    + system, images: upstream's modules tsr.system and tsr.models.tokenizers.image
    """
    folder.mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(CONFIG), folder / "config.yaml")
    described: Any = OmegaConf.load(folder / "config.yaml")
    OmegaConf.resolve(described)
    encoder: Any = ViTConfig
    encoder(**ENCODER).save_pretrained(folder / "encoder")
    images.hf_hub_download = lambda repo_id, filename: str(folder / "encoder" / filename)
    torch.manual_seed(0)
    network = system.TSR(described).eval()
    with torch.inference_mode():
        scene = network([torch.rand(64, 64, 3)], "cpu")[0]
        places = (torch.rand(4096, 3) * 2 - 1) * network.renderer.cfg.radius
        found = network.renderer.query_triplane(network.decoder, places, scene)["density"]
        # exp(density - 1) is 25, upstream's limit, where a tenth of the space begins.
        last = network.decoder.layers[-1]
        factor = 2 / found.std()
        shift = 1 + torch.log(torch.tensor(25.0)) - torch.quantile(found * factor, 0.9)
        last.weight[0] *= factor
        last.bias[0] = last.bias[0] * factor + shift
    torch.save(network.state_dict(), folder / "model.ckpt")
    return folder
