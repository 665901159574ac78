"""What this site sets for all of its hosts: settings without a default, and those that differ.

docs/settings.md lists every setting. ``.env`` overrides what stands here (SMB_SERVER for
smb_server), ``--data`` overrides both. Secrets do not belong here: this file is in version control.
"""

domain = "design-hoch-drei.de"

models_path = "/vol/service/cw/storage-models/models"
ollama_models = "/vol/service/cw/storage-models/ollama"

smb_mount = "/mnt/ki_Daten"
