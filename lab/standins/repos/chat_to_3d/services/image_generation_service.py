"""Pictures by Sana, always on the first card."""

import datetime
import gc
import logging
import os

import torch
from diffusers import SanaSprintPipeline
from utils import check_gpu_vram_capacity, clear_image_generation_failure_flags

import config
from services.guardrail_service import GuardrailService

logger = logging.getLogger(__name__)


class ImageGenerationService:
    def __init__(self):
        self.sana_pipeline = None
        self.is_loaded = False
        self.model_path = "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers"
        self.device = None
        self.guardrail_service = GuardrailService()

    def _clear_gpu_memory(self):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            gc.collect()

    def move_sana_pipeline_to_device(self, device="cuda:0"):
        """Return whether the model is there. A failure is logged, and no more than that."""
        try:
            if self.sana_pipeline is None:
                return False
            if self.device == device:
                return True
            self.sana_pipeline.to(device)
            self.device = device
            if device == "cpu":
                self._clear_gpu_memory()
            return True
        except Exception as error:
            logger.error(f"Error moving SANA pipeline to {device}: {error}")
            return False

    def move_sana_pipeline_to_gpu(self):
        return self.move_sana_pipeline_to_device("cuda:0")

    def move_sana_pipeline_to_cpu(self):
        return self.move_sana_pipeline_to_device("cpu")

    def load_sana_model(self, device="cuda:0", force_reload=False):
        try:
            if self.is_loaded and self.sana_pipeline is not None and not force_reload:
                self.move_sana_pipeline_to_device(device)
                return True
            self._clear_gpu_memory()
            self.sana_pipeline = SanaSprintPipeline.from_pretrained(
                self.model_path, torch_dtype=torch.bfloat16
            )
            self.move_sana_pipeline_to_device("cuda:0")
            self.is_loaded = True
            return True
        except Exception as error:
            logger.error(f"Error loading SANA model: {error}")
            self.is_loaded = False
            self.sana_pipeline = None
            return False

    def cleanup_sana_pipeline(self):
        if self.sana_pipeline is not None:
            self.sana_pipeline = None
            self.is_loaded = False
            self.device = None
            self._clear_gpu_memory()

    def if_sana_pipeline_movement_required(self, vram_threshold=config.VRAM_THRESHOLD_SANA):
        return check_gpu_vram_capacity(vram_threshold)

    def generate_image_from_prompt(self, object_name, prompt, output_dir, seed=42):
        """Return success, message and path of one picture."""
        try:
            is_safe, _ = self.guardrail_service.check_prompt_safety(prompt)
            if not is_safe:
                return False, "PROMPT_CONTENT_FILTERED", None
            if not self.load_sana_model():
                return False, "Failed to load SANA model", None
            with torch.no_grad():
                image = self.sana_pipeline(
                    prompt=prompt,
                    num_inference_steps=2,
                    generator=torch.Generator("cuda").manual_seed(seed),
                ).images[0]
            os.makedirs(output_dir, exist_ok=True)
            now = datetime.datetime.now().strftime("%Y%m%d_%H%M%S")
            name = f"{object_name.lower().replace(' ', '_')}_{seed}_{now}.png"
            image_path = os.path.join(output_dir, name)
            image.save(image_path)
            return True, f"picture of {object_name}", image_path
        except Exception as error:
            logger.error(f"Error generating image: {error}")
            return False, f"Error generating image: {error}", None

    def generate_images_for_objects(self, objects_data, output_dir="static/images/generated"):
        """Return success, message and the paths by the objects' names."""
        try:
            if not self.load_sana_model():
                return False, "Failed to load SANA model", {}
            os.makedirs(output_dir, exist_ok=True)
            made = {}
            for obj in objects_data:
                success, message, path = self.generate_image_from_prompt(
                    obj["title"], obj["description"], output_dir
                )
                if success and path:
                    made[obj["title"]] = path
                    clear_image_generation_failure_flags(obj)
                elif message == "PROMPT_CONTENT_FILTERED":
                    obj["path"] = "static/images/content_filtered.svg"
                    obj["prompt_content_filtered"] = True
                else:
                    obj["image_generation_failed"] = True
                    obj["image_generation_error"] = message
            return True, f"{len(made)} pictures", made
        except Exception as error:
            logger.error(f"Error generating images for objects: {error}")
            return False, f"Error generating images: {error}", {}
