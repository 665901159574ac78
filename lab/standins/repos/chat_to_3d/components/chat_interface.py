"""The box for the sentence, and what is done with it."""

import gradio as gr


def create_chat_interface():
    with gr.Column(elem_classes=["scene-section"]) as section:
        gr.Markdown("### Which place shall it be?")
        with gr.Row():
            with gr.Column(scale=8):
                scene_input = gr.Textbox(
                    placeholder="A workshop with ...",
                    label="",
                    lines=1,
                    container=False,
                    elem_classes=["scene-input"],
                )
            with gr.Column(scale=1, min_width=50):
                send = gr.Button("▶", elem_classes=["send-button"], size="sm")
        tip = gr.HTML(value="", visible=False, elem_classes=["tip-component"])
    return {"section": section, "input": scene_input, "send_btn": send, "tip": tip}


def _tip(text):
    return f'<div class="tip-message"><span class="tip-text">{text}</span></div>'


def handle_scene_description(
    scene_description, agent_service, gallery_data, image_generation_service=None
):
    """Return message, objects, advice and whether the advice is shown instead of objects."""
    try:
        kind, advice = agent_service.classify_input(scene_description)
        if kind != "SCENE":
            return "", gallery_data, _tip(advice), True
        success, prompts, message = agent_service.generate_objects_and_prompts(scene_description)
        if not (success and prompts):
            return f"Error: {message}", gallery_data, _tip(f"Error: {message}"), True
        objects = [
            {"title": name, "path": None, "description": prompt, "image_generating": True}
            for name, prompt in prompts.items()
        ]
        return f"{len(objects)} objects", objects, "", False
    except Exception as error:
        said = f"Error generating objects and prompts: {error}"
        return said, gallery_data, _tip(said), True
