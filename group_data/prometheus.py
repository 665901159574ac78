"""The stack prometheus: ComfyUI, Ollama and Open WebUI, for one person. docs/prometheus.md"""

# Settings that differ on its hosts from group_data/all.py; .env overrides them.
models_path = "/mnt/local/nvme/ai/models"
models_group = "docker"

prometheus = {
    # Folders on which a disk of their own must be mounted. One that is left out may be an ordinary
    # folder.
    "disks": ["/mnt/local/nvme", "/mnt/local/ssd"],
    # What is read a lot, and what is written a lot.
    "fast": "/mnt/local/nvme/ai",
    "bulk": "/mnt/local/ssd/ai",
    # Owner of ComfyUI's folders, who is also its user in the container.
    "comfy_uid": 1024,
    "comfy_gid": 1024,
    # Ports on 127.0.0.1.
    "ports": {"comfy": 8188, "ollama": 11434, "openwebui": 3000},
    # Memory that ComfyUI's processes may share (/dev/shm). Taken only while it is used.
    "shm_size": "8gb",
    # What a container may take of the machine: docs/hardening.md.
    "limits": {"default": {"pids_limit": 8192, "oom_score_adj": 500}},
    # Flags of ComfyUI, added to those in templates/stacks/prometheus/compose.yaml.j2.
    "flags": {"comfy": []},
    # Further variables of Ollama, such as {"OLLAMA_KEEP_ALIVE": "30m"}.
    "ollama_environment": {},
}
