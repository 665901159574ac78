"""The stack dhoch3: image generation and training on one GPU. docs/services.md"""

dhoch3 = {
    # Memory that a service's processes may share (/dev/shm). Taken only while it is used.
    "shm_size": "8gb",
    # What a container may take of the machine, in Compose's words: pids_limit (processes and
    # threads), mem_limit, cpus, oom_score_adj and the like. "default" is for every service; what
    # stands under a service's name goes before it. docs/hardening.md: why memory has no default.
    "limits": {
        "default": {"pids_limit": 8192, "oom_score_adj": 500},
        "dockge": {"pids_limit": 1024, "mem_limit": "1gb"},
    },
    # Flags for each program, added to those in templates/stacks/dhoch3/compose.yaml.j2. With much
    # GPU memory try "--highvram" (ComfyUI) or "--always-high-vram" (Fooocus, Forge).
    "flags": {
        # On Blackwell GPUs xFormers fails, and so does SageAttention: attention by PyTorch.
        "comfyui": ["--disable-xformers", "--use-pytorch-cross-attention"],
        # Models come from the model store. Without the last flag the first start fetches 7 GB.
        "fooocus": ["--attention-pytorch", "--disable-xformers", "--disable-preset-download"],
        "forge": ["--attention-pytorch", "--disable-xformers", "--no-download-sd-model"],
    },
}
