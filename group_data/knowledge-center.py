"""What hosts of the stack knowledge-center set differently; docs/settings.md lists its settings.

Text and numbers can be set in .env too: KNOWLEDGE_CENTER_LLM_BACKEND=vllm.

    knowledge_center = {"llm_backend": "vllm", "model_name": "/models/my-model"}
"""

knowledge_center = {}
