"""What depends on the card's memory, and the marks on the objects of a scene."""

import logging

import torch

import config

_FAILURES = (
    "image_generation_failed",
    "image_generation_error",
    "prompt_content_filtered",
    "prompt_content_filtered_timestamp",
)


def clear_image_generation_failure_flags(obj):
    for name in _FAILURES:
        obj.pop(name, None)
    return obj


def check_gpu_vram_capacity(vram_threshold):
    """Return whether the first card has at most so many GiB; without a card it has more."""
    try:
        if not torch.cuda.is_available():
            return False
        return torch.cuda.get_device_properties(0).total_memory / 1024**3 <= vram_threshold
    except Exception as error:
        logging.error(f"GPU memory is unknown: {error}")
        return False


def is_llm_should_be_stopped(vram_threshold=config.VRAM_THRESHOLD_LLM):
    return check_gpu_vram_capacity(vram_threshold)


def should_disable_buttons_during_3d_generation(
    vram_threshold=config.VRAM_THRESHOLD_DISABLE_IMAGE_GEN_DURING_3D_GENERATION,
):
    return check_gpu_vram_capacity(vram_threshold)


def _mark(gallery_data, name):
    for obj in gallery_data:
        obj[name] = True
    return gallery_data.copy()


def _unmark(gallery_data, name):
    for obj in gallery_data:
        obj.pop(name, None)
    return gallery_data.copy()


def disable_all_buttons_for_3d_generation(gallery_data):
    if not should_disable_buttons_during_3d_generation():
        return gallery_data
    return _mark(gallery_data, "3d_generation_global")


def enable_all_buttons_after_3d_generation(gallery_data):
    if not should_disable_buttons_during_3d_generation():
        return gallery_data
    if any(obj.get("3d_generating") for obj in gallery_data):
        return gallery_data
    return _unmark(gallery_data, "3d_generation_global")


def disable_all_buttons_for_image_operations(gallery_data):
    return _mark(gallery_data, "image_operations_global")


def enable_all_buttons_after_image_operations(gallery_data):
    return _unmark(gallery_data, "image_operations_global")
