from .agent_service import AgentService
from .image_generation_service import ImageGenerationService
from .model_3d_service import Model3DService

__all__ = ["AgentService", "ImageGenerationService", "Model3DService"]
