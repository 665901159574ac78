"""The stack prometheus: ComfyUI, Ollama and Open WebUI, for one person. docs/prometheus.md"""

# Settings for this stack's hosts that differ from group_data/all.py; .env overrides them.
models_path = "/mnt/local/nvme/ai/models"
models_group = "docker"

prometheus = {
    # Folders that must be mount points of separate disks. If you remove a folder here, it may be an
    # ordinary one.
    "disks": ["/mnt/local/nvme", "/mnt/local/ssd"],
    # The folders for data that is read a lot, and for data that is written a lot.
    "fast": "/mnt/local/nvme/ai",
    "bulk": "/mnt/local/ssd/ai",
    # The owner of ComfyUI's folders, which is also its user in the container.
    "comfy_uid": 1024,
    "comfy_gid": 1024,
    # Ports on 127.0.0.1.
    "ports": {"comfy": 8188, "ollama": 11434, "openwebui": 3000},
    # Memory that ComfyUI's processes may share (/dev/shm). Used only as needed.
    "shm_size": "8gb",
    # Limits on what a container may use of the machine: docs/hardening.md.
    "limits": {"default": {"pids_limit": 8192, "oom_score_adj": 500}},
    # Flags for ComfyUI, added to those in templates/stacks/prometheus/compose.yaml.j2.
    "flags": {"comfy": []},
    # Additional environment variables for Ollama, such as {"OLLAMA_KEEP_ALIVE": "30m"}.
    "ollama_environment": {},
}
