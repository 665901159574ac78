"""The settings of every host, with their defaults. This is the only place for defaults.

``.env`` overrides them (SMB_SERVER for smb_server), and ``--data`` overrides both.
workstation/settings.py checks the values. Secrets do not belong here.
"""

# required: a run fails without a working NVIDIA GPU. optional: used if there is one. none: ignored.
gpu = "required"
# Driver branch to install on Ubuntu if none works, such as "580-open". "": leave drivers alone.
nvidia_driver = ""

# Where to install Docker from if it is missing: "docker" (Docker's apt repository), "distribution",
# or "auto" (Docker's on Ubuntu, the distribution's on Debian). An existing Docker is kept.
docker_source = "auto"

# Path, on the control machine, of a file that says where to download everything from. "": from the
# upstreams. docs/mirror.md
mirror = ""
# Path, on the control machine, of a CA certificate file that the host and its image builds must
# trust, for networks where a proxy re-signs TLS.
ca_bundle = ""

# The folder that Dockge shows, with one folder for each stack.
stacks_dir = "/opt/stacks"

# What to attach to images built here, if Docker keeps images in containerd's image store (the
# default in a fresh Docker 29): "provenance" (how an image was built), "sbom" (the list of all
# packages in it; each build then reads the whole image).
build_attestations = ["provenance"]

# Services answer on <service>.<domain>.
domain = "design-hoch-drei.de"

# One identity owns the share's files and the model store, and runs every container that does not
# need to be root.
service_user = "ai"
service_uid = 2000
service_group = "ai"
service_gid = 2000

# The model store and the folders created in it, with ComfyUI's names.
models_path = "/vol/service/cw/storage-models/models"
models_folders = [
    "checkpoints",
    "clip",
    "clip_vision",
    "configs",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "hypernetworks",
    "loras",
    "style_models",
    "text_encoders",
    "unet",
    "upscale_models",
    "vae",
    "vae_approx",
]
# The group of the store, if it is another existing group, such as "docker". "": service_group.
models_group = ""

# The share for outputs, //smb_server/smb_share. Set SMB_PASSWORD only in .env.
smb_server = ""
smb_share = ""
smb_user = ""
smb_domain = ""
smb_mount = "/mnt/ki_Daten"
# Additional mount options besides vers=3.1.1 and those for ownership, such as "seal".
smb_options = []

ollama_models = "/vol/service/cw/storage-models/ollama"
ollama_port = 11434
# Additional environment variables for Ollama's unit, such as {"OLLAMA_KEEP_ALIVE": "30m"}.
ollama_environment = {}

# own: this project runs Traefik. existing: services join a Traefik that already runs; name its
# network, entrypoint, certificate resolver and middlewares below.
proxy = "own"
proxy_network = "proxy"
proxy_entrypoint = "web"
proxy_certresolver = ""
proxy_middlewares = []
# With proxy = "own": Traefik's port, and the longest time an upload may take.
proxy_http_port = 80
proxy_read_timeout = "1h"
# The limits on its processes and threads, and on its memory ("0": no limit).
proxy_pids_limit = 512
proxy_mem_limit = "512mb"

# What tasks/history.py shows; best given as --data history=3 (one run in full; 1 is the latest) or
# --data history=2,5 (how two runs differ). Empty: the latest runs.
history = []
