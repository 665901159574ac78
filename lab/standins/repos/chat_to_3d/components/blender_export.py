"""Copies the GLB files of a scene to a folder in the user's home."""

import os
import shutil
from pathlib import Path

import gradio as gr

from config import ASSETS_DIR


def create_blender_export_section():
    with gr.Column(elem_classes=["blender-export-section"]) as section:
        gr.Markdown("### Take them along", elem_classes=["export-header"])
        with gr.Column(elem_classes=["export-content"]) as content:
            placeholder = gr.HTML("Objects in 3D are shown here.", visible=True)
            with gr.Column(visible=False, elem_classes=["export-content-active"]) as active:
                count = gr.HTML("0 objects", elem_classes=["export-count"])
                thumbnails = gr.HTML("", elem_classes=["thumbnails-container"])
                button = gr.Button("Export", elem_classes=["export-btn"], interactive=False)
    return {
        "section": section,
        "content": content,
        "count_display": count,
        "thumbnails_container": thumbnails,
        "export_btn": button,
        "placeholder": placeholder,
        "export_content_active": active,
    }


def _finished(gallery_data):
    return [
        obj for obj in gallery_data or [] if obj.get("glb_path") and os.path.exists(obj["glb_path"])
    ]


def update_export_section(gallery_data):
    found = _finished(gallery_data)
    return (
        gr.update(value=f"{len(found)} objects"),
        gr.update(value=", ".join(obj["title"] for obj in found)),
        gr.update(interactive=bool(found)),
        gr.update(visible=not found),
        gr.update(visible=bool(found)),
    )


def create_export_modal():
    with gr.Group(elem_id="export-modal", visible=False) as modal:
        gr.Markdown(f"To a folder in {ASSETS_DIR}", elem_classes=["save-location-info"])
        folder = gr.Textbox(label="Folder", lines=1, elem_classes=["scene-folder-input"])
        with gr.Row():
            cancel = gr.Button("Cancel", elem_classes=["modal-cancel-btn"])
            save = gr.Button("Save", elem_classes=["modal-save-btn"])
    return modal, folder, cancel, save


def open_export_modal(gallery_data):
    return gr.update(visible=True)


def close_export_modal():
    return gr.update(visible=False), ""


def export_3d_assets_to_folder(gallery_data, folder_name):
    """Copy the files; nothing is said if that fails."""
    found = _finished(gallery_data)
    if found and folder_name and folder_name.strip():
        try:
            folder = ASSETS_DIR / folder_name.strip().replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            for obj in found:
                name = f"{obj['title'].replace(' ', '_')}.glb"
                shutil.copy2(Path(obj["glb_path"]), folder / name)
        except Exception:
            return gr.update(visible=False)
    return gr.update(visible=False)
