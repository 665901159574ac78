"""Refuses prompts that a classifier calls unsafe."""

import logging

from transformers import pipeline

logger = logging.getLogger(__name__)


class GuardrailService:
    def __init__(self, model_name="ezb/NSFW-Prompt-Detector"):
        self.model_name = model_name
        self.pipe = None
        self.is_loaded = False

    def load_model(self):
        try:
            if self.is_loaded:
                return True
            self.pipe = pipeline("text-classification", model=self.model_name)
            self.is_loaded = True
            return True
        except Exception as error:
            logger.error(f"The guard model cannot be loaded: {error}")
            return False

    def is_dangerous(self, prompt, threshold):
        """Return whether a prompt is unsafe. Without the model, nothing is."""
        try:
            if not self.load_model():
                logger.warning("Guardrail model not loaded, skipping content check")
                return False
            found = self.pipe(prompt)[0]
            return found["label"] == "NSFW" and found["score"] > threshold
        except Exception as error:
            logger.error(f"Error in content safety check: {error}")
            return True

    def check_prompt_safety(self, prompt, threshold=0.9):
        if self.is_dangerous(prompt, threshold):
            return False, "PROMPT_CONTENT_FILTERED"
        return True, "safe"
