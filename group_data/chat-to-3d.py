"""What hosts of the stack chat-to-3d set differently; docs/settings.md lists its settings.

chat_to_3d = {"llm": "url", "llm_url": "http://host.docker.internal:11434/v1", "llm_model": "qwen3:4b"}
"""

chat_to_3d = {}
