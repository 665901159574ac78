"""What hosts of the stack prometheus set; docs/settings.md lists its settings."""

# Settings that differ on its hosts from group_data/all.py; .env overrides them.
models_path = "/mnt/local/nvme/ai/models"
models_group = "docker"

prometheus = {
    "disks": ["/mnt/local/nvme", "/mnt/local/ssd"],
    "fast": "/mnt/local/nvme/ai",
    "bulk": "/mnt/local/ssd/ai",
}
