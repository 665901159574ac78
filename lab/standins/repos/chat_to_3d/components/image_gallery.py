"""The cards of a scene: a fixed number, of which those that are used can be seen."""

import gradio as gr

import config
from components.image_card import create_image_card

# As they are when this is imported.
MAX_CARDS = config.MAX_CARDS
CARDS_PER_ROW = config.CARDS_PER_ROW

_BUSY = (
    "3d_generating",
    "batch_processing",
    "image_generating",
    "3d_generation_global",
    "image_operations_global",
)
_NO_PICTURE = ("image_generation_failed", "prompt_content_filtered")


def _button_3d(obj, busy):
    """Return text and whether it can be pressed."""
    if obj.get("glb_path"):
        return "✓ 3D", False
    if obj.get("content_filtered"):
        return "🚫 3D", False
    if any(obj.get(name) for name in _NO_PICTURE):
        return "→ 3D", False
    if obj.get("3d_generating") or obj.get("batch_processing"):
        return "⏳ 3D", False
    return "→ 3D", not busy


def _card(obj):
    """Return the changes of one card: title, picture, and four buttons."""
    if obj is None:
        rest = [gr.update(interactive=True) for _ in range(4)]
        return [gr.update(value=""), gr.update(value=None), *rest]
    busy = any(obj.get(name) for name in _BUSY)
    shown = obj.get("path")
    if not shown and obj.get("image_generating"):
        shown = str(config.GENERATING_PLACEHOLDER_FILE)
    text, ready = _button_3d(obj, busy)
    return [
        gr.update(value=f"### {obj['title']}"),
        gr.update(value=shown or None),
        *(gr.update(interactive=not busy) for _ in range(3)),
        gr.update(value=text, interactive=ready),
    ]


def create_image_gallery():
    cards, containers = [], []
    with gr.Column(elem_classes=["gallery-section"]) as section:
        gr.Markdown("### Objects", elem_classes=["gallery-header"])
        gallery_data = gr.State([])
        with gr.Column(visible=True, elem_classes=["gallery-placeholder"]) as placeholder:
            gr.HTML("Objects are shown here.")
        for start in range(0, MAX_CARDS, CARDS_PER_ROW):
            with gr.Row():
                for _ in range(start, min(start + CARDS_PER_ROW, MAX_CARDS)):
                    with gr.Column(
                        scale=1, min_width=180, visible=False, elem_classes=["gallery-card"]
                    ) as container:
                        cards.append(create_image_card("", "", *[None] * 6))
                        containers.append(container)
        with gr.Row(elem_classes=["convert-all-section"]):
            convert_all = gr.Button(
                "All to 3D", elem_classes=["convert-all-btn"], visible=False, interactive=False
            )

    def get_all_card_outputs():
        names = ("title_component", "image_component")
        buttons = ("refresh_btn", "edit_btn", "delete_btn", "to_3d_btn")
        parts = [card[name] for card in cards for name in (*names, *buttons)]
        return [*parts, *containers, placeholder, convert_all]

    def shift_card_ui(gallery_data):
        """Return the changes of all cards, containers, the placeholder and the last button."""
        count = len(gallery_data)
        updates = []
        for idx in range(MAX_CARDS):
            updates += _card(gallery_data[idx] if idx < count else None)
        updates += [gr.update(visible=idx < count) for idx in range(MAX_CARDS)]
        updates.append(gr.update(visible=count == 0))
        done = ("glb_path", "3d_generating", "content_filtered", *_NO_PICTURE)
        left = any(not any(obj.get(name) for name in done) for obj in gallery_data)
        busy = any(obj.get(name) for obj in gallery_data for name in _BUSY[:3])
        updates.append(gr.update(visible=count > 0, interactive=left and not busy))
        return updates

    return {
        "section": section,
        "data": gallery_data,
        "card_components": cards,
        "card_containers": containers,
        "placeholder": placeholder,
        "convert_all_btn": convert_all,
        "get_all_card_outputs": get_all_card_outputs,
        "shift_card_ui": shift_card_ui,
    }
