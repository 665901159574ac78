"""Windows over the page: one object, its text, and the question before starting over."""

import os

import gradio as gr


def _overlay(display):
    return f"<div id='modal-overlay' style='display:{display}'></div>"


def open_image_settings(image_path, title, gallery_data=None, card_idx=None):
    glb_path = None
    if gallery_data and card_idx is not None and card_idx < len(gallery_data):
        glb_path = gallery_data[card_idx].get("glb_path")
    shown = glb_path if glb_path and os.path.exists(glb_path) else None
    return f"### {title}", image_path, True, _overlay("block"), shown


def close_modal():
    return None, None, False, _overlay("none"), None


def create_modal():
    with gr.Group(elem_id="settings-modal") as modal:
        title = gr.Markdown("### Object")
        close = gr.Button("X", elem_id="close-modal-btn", size="sm")
        with gr.Tabs():
            with gr.TabItem("2D"):
                image = gr.Image(interactive=False, height=350, sources=[])
            with gr.TabItem("3D"):
                model = gr.Model3D(value=None, height=400, visible=False)
                nothing = gr.Markdown("Not yet in 3D.", visible=True)
    return modal, title, close, image, model, nothing


def create_edit_modal():
    with gr.Group(elem_id="edit-modal") as modal:
        title = gr.Textbox(label="", placeholder="Name")
        description = gr.Textbox(label="", lines=5, placeholder="How it looks")
        with gr.Row():
            cancel = gr.Button("Cancel", elem_id="cancel-edit-btn")
            update = gr.Button("Paint", elem_id="update-edit-btn")
    return modal, title, description, cancel, update


def create_start_over_confirmation_modal():
    with gr.Group(elem_id="start-over-confirmation-modal", visible=False) as modal:
        gr.Markdown("### Leave this scene?", elem_classes=["modal-title"])
        with gr.Row():
            cancel = gr.Button("Cancel", elem_classes=["modal-cancel-btn"])
            confirm = gr.Button("Leave", elem_classes=["modal-confirm-btn"])
    return modal, cancel, confirm


def open_start_over_confirmation():
    return _overlay("block")


def close_start_over_confirmation():
    return _overlay("none")
