"""What hosts of the stack imagen set differently; docs/settings.md lists its settings.

imagen = {"parts": "api,triton,upscale,background_remove", "instances": 2}
"""

imagen = {}
