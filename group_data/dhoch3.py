"""The stack dhoch3: image generation and training on one GPU. docs/services.md"""

dhoch3 = {
    # Memory that a service's processes may share (/dev/shm). Used only as needed.
    "shm_size": "8gb",
    # Limits on what a container may use of the machine, with Compose's keys: pids_limit (processes
    # and threads), mem_limit, cpus, oom_score_adj and the like. "default" applies to every service;
    # an entry with a service's name overrides it. docs/hardening.md: why memory has no default.
    "limits": {
        "default": {"pids_limit": 8192, "oom_score_adj": 500},
        "dockge": {"pids_limit": 1024, "mem_limit": "1gb"},
    },
    # Flags for each program, added to those in templates/stacks/dhoch3/compose.yaml.j2. If you have
    # plenty of GPU memory, try "--highvram" (ComfyUI) or "--always-high-vram" (Fooocus, Forge).
    "flags": {
        # xFormers and SageAttention fail on Blackwell GPUs, so PyTorch's attention is used.
        "comfyui": ["--disable-xformers", "--use-pytorch-cross-attention"],
        # Models come from the model store. Without the last flag, the first start downloads 7 GB.
        "fooocus": ["--attention-pytorch", "--disable-xformers", "--disable-preset-download"],
        "forge": ["--attention-pytorch", "--disable-xformers", "--no-download-sd-model"],
    },
}
