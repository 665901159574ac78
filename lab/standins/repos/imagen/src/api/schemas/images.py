from typing import Annotated

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0.1, le=1.0)]
Guidance = Annotated[float, Field(ge=1.0, le=20.0)]


class UpscaleParams(BaseModel):
    prompt: str = ""
    negative_prompt: str = ""
    num_inference_steps: Annotated[int, Field(ge=1, le=100)] = 20
    guidance_scale: Guidance = 7.5


class EnhanceParams(BaseModel):
    prompt: str = "sharp"
    strength: Share = 0.3
    guidance_scale: Guidance = 7.5


class StyleParams(BaseModel):
    prompt: str = ""
    strength: Share = 0.6
    guidance_scale: Guidance = 8.0


class NoParams(BaseModel):
    pass
