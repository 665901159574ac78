"""The settings of every host and their defaults. This is the only place that has defaults.

``.env`` overrides them (SMB_SERVER for smb_server), ``--data`` overrides both. What each may hold
is checked by workstation/settings.py. Secrets do not belong here.
"""

# required: a run fails without a working NVIDIA GPU. optional: used if there is one. none: ignored.
gpu = "required"
# Driver branch to install on Ubuntu when none works, such as "580-open". "": leave drivers alone.
nvidia_driver = ""

# Where a missing Docker comes from: "docker" (Docker's apt repository), "distribution", or "auto"
# (Docker's on Ubuntu, the distribution's on Debian). A Docker that is already there is kept.
docker_source = "auto"

# Path, on the control machine, of a file that says where everything is downloaded from. "": from
# the upstreams. docs/mirror.md
mirror = ""
# Path, on the control machine, of a CA certificate file that the host and its image builds must
# trust, where a company's proxy re-signs TLS.
ca_bundle = ""

# The folder that Dockge shows: one folder for each stack.
stacks_dir = "/opt/stacks"

# What images built here carry besides their layers, where Docker keeps them in containerd's image
# store (the default of a fresh Docker 29): "provenance" (how it was built), "sbom" (the list of all
# packages in it, for which each build reads the whole image).
build_attestations = ["provenance"]

# Services answer on <service>.<domain>.
domain = "design-hoch-drei.de"

# One identity owns the share's files, the model store and every container that need not be root.
service_user = "ai"
service_uid = 2000
service_group = "ai"
service_gid = 2000

# The model store and the folders made in it, named as ComfyUI names them.
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
# The group of the store, where it is another one that exists, such as "docker". "": service_group.
models_group = ""

# The share for outputs, //smb_server/smb_share. SMB_PASSWORD is set in .env alone.
smb_server = ""
smb_share = ""
smb_user = ""
smb_domain = ""
smb_mount = "/mnt/ki_Daten"
# Mount options besides vers=3.1.1 and the ownership, such as "seal".
smb_options = []

ollama_models = "/vol/service/cw/storage-models/ollama"
ollama_port = 11434
# Further variables of Ollama's unit, such as {"OLLAMA_KEEP_ALIVE": "30m"}.
ollama_environment = {}

# own: this project runs Traefik. existing: it joins the Traefik that is there, whose network,
# entrypoint, certificate resolver and middlewares are named below.
proxy = "own"
proxy_network = "proxy"
proxy_entrypoint = "web"
proxy_certresolver = ""
proxy_middlewares = []
# For the own Traefik: its port, and the longest time an upload may take.
proxy_http_port = 80
proxy_read_timeout = "1h"
# How many processes and threads it may have, and how much memory ("0": no limit).
proxy_pids_limit = 512
proxy_mem_limit = "512mb"

# What tasks/history.py shows, best given as --data history=3 (one run in full; 1 is the last) or
# --data history=2,5 (in what two differ); nothing: the last runs.
history = []
