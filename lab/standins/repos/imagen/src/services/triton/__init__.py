from src.services.triton.client import TritonClient, get_triton_client

__all__ = ["TritonClient", "get_triton_client"]
