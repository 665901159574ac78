"""What hosts of the stack dhoch3 set differently; docs/settings.md lists its settings.

dhoch3 = {
    "flags": {"forge": ["--always-high-vram"]},
    "limits": {"comfyui": {"mem_limit": "48gb"}},
}
"""

dhoch3 = {}
