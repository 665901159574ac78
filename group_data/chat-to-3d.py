"""What hosts of the stack chat-to-3d set differently; docs/settings.md lists its settings.

chat_to_3d = {"llm": "url", "llm_url": "http://192.168.0.7:8000/v1", "llm_model": ""}
"""

chat_to_3d = {}
