"""GLB files by TRELLIS, always at the same address."""

import base64
import datetime
import logging
import os
from pathlib import Path

import requests

logger = logging.getLogger(__name__)


class Model3DService:
    def __init__(self, base_url="http://localhost:8000"):
        self.base_url = base_url.rstrip("/")
        self.infer_endpoint = f"{self.base_url}/v1/infer"
        self.timeout = 300

    def encode_image_to_base64(self, image_path):
        """Return a picture as a data URI; None if it cannot be read."""
        try:
            kind = Path(image_path).suffix.lower().lstrip(".").replace("jpg", "jpeg")
            data = base64.b64encode(Path(image_path).read_bytes()).decode()
            return f"data:image/{kind or 'png'};base64,{data}"
        except Exception as error:
            logger.error(f"Error encoding image {image_path}: {error}")
            return None

    def generate_3d_model(self, image_path, output_dir="assets/models"):
        """Return success, message and path of the file."""
        try:
            image = self.encode_image_to_base64(image_path)
            if not image:
                return False, "Failed to encode image to base64", None
            success, message, data = self.make_infer_request(image)
            if not success:
                return False, message, None
            path = self.save_glb_file(data, image_path, output_dir)
            return (True, "made", path) if path else (False, "Failed to save GLB file", None)
        except Exception as error:
            return False, f"Error generating 3D model: {error}", None

    def make_infer_request(self, base64_image):
        """Return success, message and content."""
        try:
            response = requests.post(
                self.infer_endpoint,
                json={"image": base64_image},
                headers={"Content-Type": "application/json"},
                timeout=self.timeout,
            )
            if response.status_code != 200:
                said = f"API request failed: {response.status_code} - {response.text}"
                return False, said, None
            artifact = response.json()["artifacts"][0]
            reason = artifact["finishReason"]
            if reason == "CONTENT_FILTERED":
                return False, "CONTENT_FILTERED", None
            if reason != "SUCCESS":
                return False, f"API request failed: {reason}", None
            if not artifact["base64"]:
                return False, "No GLB data in API response", None
            return True, "made", base64.b64decode(artifact["base64"])
        except requests.exceptions.Timeout:
            return False, "Request timed out - 3D generation takes time", None
        except requests.exceptions.ConnectionError:
            return False, "Cannot connect to 3D generation service", None
        except Exception as error:
            return False, f"Request error: {error}", None

    def save_glb_file(self, glb_data, original_image_path, output_dir):
        """Return the path of the new file; None if it cannot be written."""
        try:
            os.makedirs(output_dir, exist_ok=True)
            now = datetime.datetime.now().strftime("%Y%m%d_%H%M%S")
            path = os.path.join(output_dir, f"{Path(original_image_path).stem}_{now}.glb")
            with open(path, "wb") as file:
                file.write(glb_data)
            return path
        except Exception as error:
            logger.error(f"Error saving GLB file: {error}")
            return None

    def check_service_health(self):
        """Return whether the service answers: at a path that it does not have."""
        try:
            return requests.get(f"{self.base_url}/health/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False
