#!/bin/sh
# Prepares FluxGym's volume, then becomes FluxGym.
set -eu

mkdir -p /data/datasets /data/outputs /data/models/clip /data/models/unet /data/models/vae

# link NAME CANDIDATE...: FluxGym looks for models by exact name and downloads what is missing;
# the first candidate that the model store has stands in.
link() {
    name=/data/models/$1
    shift
    if [ -L "$name" ] && [ ! -e "$name" ]; then rm "$name"; fi
    for candidate in "$@"; do
        if [ ! -e "$name" ] && [ -e "/models/$candidate" ]; then ln -s "/models/$candidate" "$name"; fi
    done
}
link unet/flux1-dev.sft \
    unet/flux1-dev.sft unet/flux1-dev.safetensors \
    diffusion_models/flux1-dev.sft diffusion_models/flux1-dev.safetensors
link unet/flux1-schnell.safetensors \
    unet/flux1-schnell.safetensors diffusion_models/flux1-schnell.safetensors
link vae/ae.sft vae/ae.sft vae/ae.safetensors
link clip/clip_l.safetensors clip/clip_l.safetensors text_encoders/clip_l.safetensors
link clip/t5xxl_fp16.safetensors clip/t5xxl_fp16.safetensors text_encoders/t5xxl_fp16.safetensors

# The list of base models, if the volume has one of its own.
if [ -f /data/models.yaml ]; then cp /data/models.yaml models.yaml; fi

export-artefacts /data/outputs /outputs &
exec python3 app.py "$@"
