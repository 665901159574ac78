"""A card of the gallery, and what its buttons do."""

import datetime
import random

import gradio as gr
from utils import clear_image_generation_failure_flags, should_disable_buttons_during_3d_generation

import config

_OF_3D = (
    "glb_path",
    "3d_generated",
    "3d_timestamp",
    "content_filtered",
    "content_filtered_timestamp",
    "batch_processing",
)


def invalidate_3d_model(gallery_data, card_idx, object_name, context="image change"):
    for name in _OF_3D:
        gallery_data[card_idx].pop(name, None)
    gallery_data[card_idx]["3d_generating"] = False
    return gallery_data.copy()


def _now():
    return datetime.datetime.now().isoformat()


def _convert(model_3d_service, obj):
    """Make the GLB file of an object. Of a failure, nothing is left but a line in the log."""
    success, message, glb_path = model_3d_service.generate_3d_model(
        image_path=obj["path"], output_dir=config.MODELS_DIR
    )
    obj["3d_generating"] = False
    if success and glb_path:
        obj.update({"glb_path": glb_path, "3d_generated": True, "3d_timestamp": _now()})
    elif message == "CONTENT_FILTERED":
        obj.update({"content_filtered": True, "content_filtered_timestamp": _now()})
    else:
        print(f"Failed to generate 3D model: {message}")


def create_convert_all_3d_handler(model_3d_service):
    def disable_all_buttons(gallery_data):
        for obj in gallery_data:
            obj["batch_processing"] = True
            if should_disable_buttons_during_3d_generation():
                obj["3d_generation_global"] = True
        return gallery_data.copy() if gallery_data else gallery_data

    def perform_batch_3d_conversion(gallery_data):
        waiting = [
            obj
            for obj in gallery_data
            if not (obj.get("glb_path") or obj.get("3d_generating") or obj.get("content_filtered"))
        ]
        try:
            for obj in waiting:
                obj["3d_generating"] = True
            for obj in waiting:
                _convert(model_3d_service, obj)
        except Exception as error:
            print(f"Error in batch 3D conversion: {error}")
        for obj in gallery_data:
            obj["3d_generating"] = obj["batch_processing"] = False
            obj.pop("3d_generation_global", None)
        return gallery_data.copy()

    return disable_all_buttons, perform_batch_3d_conversion


def create_image_card(
    image_path,
    title,
    output_widget,
    modal_image_title,
    modal_image,
    modal_visible,
    settings_modal,
    overlay,
):
    with gr.Column(elem_classes=["card-content", "clickable-card"]):
        with gr.Column(elem_classes=["card-main-area"]) as main_area:
            click = gr.Button("", elem_classes=["card-click-btn"])
            heading = gr.Markdown(f"### {title or ''}", elem_classes=["card-title"])
            image = gr.Image(
                image_path or None,
                show_label=False,
                show_download_button=False,
                interactive=False,
                height=180,
                sources=[],
                show_fullscreen_button=False,
                elem_classes=["card-image"],
            )
        with gr.Row(elem_classes=["card-actions"]):
            refresh, edit, delete, to_3d = (
                gr.Button(text, size="md", min_width=20, elem_classes=["action-btn"])
                for text in ("↻", "✎", "✕", "→ 3D")
            )
    return {
        "title_component": heading,
        "image_component": image,
        "main_area": main_area,
        "card_click_btn": click,
        "refresh_btn": refresh,
        "edit_btn": edit,
        "delete_btn": delete,
        "to_3d_btn": to_3d,
    }


def take_picture(image_generation_service, gallery_data, card_idx, seed):
    """Paint an object again; whatever comes of it, its GLB file no longer fits."""
    obj = gallery_data[card_idx]
    success, message, path = image_generation_service.generate_image_from_prompt(
        object_name=obj["title"],
        prompt=obj["description"],
        output_dir=config.GENERATED_IMAGES_DIR,
        seed=seed,
    )
    if image_generation_service.if_sana_pipeline_movement_required():
        image_generation_service.move_sana_pipeline_to_cpu()
    if success and path:
        obj.update({"path": path, "seed": seed})
        clear_image_generation_failure_flags(obj)
    elif message == "PROMPT_CONTENT_FILTERED":
        obj["path"] = "static/images/content_filtered.svg"
        obj["prompt_content_filtered"] = True
        obj["prompt_content_filtered_timestamp"] = _now()
    else:
        obj["image_generation_failed"] = True
        obj["image_generation_error"] = message
    obj.pop("image_generating", None)
    return invalidate_3d_model(gallery_data, card_idx, obj["title"])


def create_refresh_handler(image_generation_service):
    def refresh_image(card_idx, gallery_data):
        try:
            seed = random.randint(1, 999999)
            return take_picture(image_generation_service, gallery_data, card_idx, seed)
        except Exception as error:
            print(f"Error refreshing image: {error}")
            return gallery_data

    return refresh_image


def create_3d_generation_handler(model_3d_service):
    def generate_3d_model(card_idx, gallery_data):
        try:
            obj = gallery_data[card_idx] if card_idx < len(gallery_data) else {}
            if not obj.get("title") or not obj.get("path") or obj.get("glb_path"):
                return gallery_data
            _convert(model_3d_service, obj)
        except Exception as error:
            print(f"Error generating 3D model: {error}")
            gallery_data[card_idx]["3d_generating"] = False
        return gallery_data.copy()

    return generate_3d_model
