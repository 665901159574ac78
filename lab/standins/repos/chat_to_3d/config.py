"""Names, folders and limits. The folders are created as soon as this is imported."""

from pathlib import Path

BASE_DIR = Path(__file__).parent

HOME_DIR = Path.home()
TRELLIS_DIR = HOME_DIR / ".trellis"
ASSETS_DIR = TRELLIS_DIR / "assets"
PROMPTS_DIR = TRELLIS_DIR / "prompts"
SCENE_DIR = TRELLIS_DIR / "scene"

STATIC_DIR = BASE_DIR / "static"
CSS_DIR = STATIC_DIR / "css"
IMAGES_DIR = STATIC_DIR / "images"
ASSETS_APP_DIR = BASE_DIR / "assets"
GENERATED_IMAGES_DIR = ASSETS_APP_DIR / "images"
MODELS_DIR = ASSETS_APP_DIR / "models"

for folder in (ASSETS_DIR, PROMPTS_DIR, SCENE_DIR, GENERATED_IMAGES_DIR, MODELS_DIR):
    folder.mkdir(parents=True, exist_ok=True)

OUTPUT_DIR = ASSETS_DIR
PROMPTS_FILE = PROMPTS_DIR / "prompts.json"
CUSTOM_CSS_FILE = CSS_DIR / "custom.css"
NVIDIA_LOGO_FILE = IMAGES_DIR / "nvidia_logo.png"
GENERATING_PLACEHOLDER_FILE = IMAGES_DIR / "generating.svg"

NUM_OF_OBJECTS = 20
MAX_CARDS = 20
CARDS_PER_ROW = 4
VRAM_THRESHOLD_SANA = 16
VRAM_THRESHOLD_DISABLE_IMAGE_GEN_DURING_3D_GENERATION = 16
VRAM_THRESHOLD_LLM = 31
DEFAULT_SEED = 42

AGENT_MODEL = "meta/llama-3.1-8b-instruct"
AGENT_BASE_URL = "http://localhost:19002/v1"
TRELLIS_BASE_URL = "http://localhost:8000/v1"
TWO_D_PROMPT_LENGTH = 30
LLM_TEMPERATURE = 0.4
LLM_RANDOM_SEED_ENABLED = True
