"""What the buttons of the cards, of their windows and of the export do.

Upstream has all of it in app.py: ``use`` has what that module imports, as it is when the page is
created. Names and order of the events are upstream's, because Gradio's API has them.
"""

import os
import random

import gradio as gr

from components.image_card import take_picture


def chain(event, *steps):
    """Do steps after an event: each is a function, its inputs and its outputs."""
    for fn, inputs, outputs in steps:
        event = event.then(fn=fn, inputs=inputs, outputs=outputs)
    return event


def add_steps(page, use):
    """Add the steps that show the cards and the export as they are now."""
    gallery, names = page.gallery, ("count_display", "thumbnails_container", "export_btn")
    parts = [page.export[name] for name in (*names, "placeholder", "export_content_active")]
    page.show_cards = (gallery["shift_card_ui"], [page.data], gallery["get_all_card_outputs"]())
    page.show_export = (use.update_export_section, [page.data], parts)


def wire_cards(page, use, image_generation_service, model_3d_service):
    _wire_windows(page, use)
    _wire_refresh(page, use, use.create_refresh_handler(image_generation_service))
    _wire_3d(page, use, use.create_3d_generation_handler(model_3d_service))
    _wire_edit(page, use, image_generation_service)
    _wire_delete(page)
    disable, convert = use.create_convert_all_3d_handler(model_3d_service)
    _work(page, page.gallery["convert_all_btn"].click, disable, convert)
    _wire_export(page, use)


def _cards(page):
    return enumerate(page.gallery["card_components"])


def _work(page, trigger, first, second, *rest, inputs=()):
    """Mark objects as being worked on and show that; then work, and show the result."""
    chain(
        trigger(fn=first, inputs=[*inputs, page.data], outputs=[page.data]),
        page.show_cards,
        page.show_start_over,
        (second, [*inputs, page.data], [page.data]),
        page.show_cards,
        page.show_export,
        page.show_start_over,
        *rest,
    )


def _wire_windows(page, use):
    def create_dynamic_click_handler(card_idx):
        def click_handler(gallery_data):
            found = gallery_data[card_idx] if card_idx < len(gallery_data) else {}
            path, title = found.get("path", ""), found.get("title", "")
            return use.open_image_settings(path, title, gallery_data, card_idx)

        return click_handler

    def either(there):
        return gr.update(visible=there), gr.update(visible=not there)

    shown = [page.title, page.image, page.modal_visible, page.overlay, page.model]
    models = [page.model, page.no_model]
    for idx, card in _cards(page):
        handler = create_dynamic_click_handler(idx)
        chain(
            card["card_click_btn"].click(fn=handler, inputs=[page.data], outputs=shown),
            (lambda: gr.update(visible=True), None, [page.window]),
            (lambda glb_path: either(glb_path is not None), [page.model], models),
        )
    chain(
        page.close.click(fn=use.close_modal, inputs=[], outputs=shown),
        (lambda: gr.update(visible=False), None, [page.window]),
        (lambda: either(False), None, models),
    )


def _wire_refresh(page, use, refresh_handler):
    def create_refresh_function(card_idx):
        def immediate_disable_buttons(gallery_data):
            if card_idx >= len(gallery_data):
                return gallery_data
            gallery_data[card_idx]["image_generating"] = True
            return use.disable_all_buttons_for_image_operations(gallery_data)

        def perform_image_refresh(gallery_data):
            done = refresh_handler(card_idx, gallery_data)
            return use.enable_all_buttons_after_image_operations(done)

        return immediate_disable_buttons, perform_image_refresh

    for idx, card in _cards(page):
        _work(page, card["refresh_btn"].click, *create_refresh_function(idx))


def _wire_3d(page, use, three_d_handler):
    def create_3d_function(card_idx):
        def generate_3d_for_card(gallery_data):
            if card_idx >= len(gallery_data):
                return gallery_data
            gallery_data[card_idx]["3d_generating"] = True
            return use.disable_all_buttons_for_3d_generation(gallery_data)

        def perform_3d_generation(gallery_data):
            return use.enable_all_buttons_after_3d_generation(
                three_d_handler(card_idx, gallery_data)
            )

        return generate_3d_for_card, perform_3d_generation

    def update_modal_3d_components(gallery_data, card_idx):
        found = gallery_data[card_idx] if card_idx < len(gallery_data) else {}
        path = found.get("glb_path")
        there = bool(path and os.path.exists(path))
        return gr.update(value=path if there else None, visible=there), gr.update(visible=not there)

    for idx, card in _cards(page):
        show = (
            lambda data, idx=idx: update_modal_3d_components(data, idx),
            [page.data],
            [page.model, page.no_model],
        )
        _work(page, card["to_3d_btn"].click, *create_3d_function(idx), show)


def _wire_edit(page, use, image_generation_service):
    def open_edit_modal(idx, gallery_data):
        found = gallery_data[idx] if idx < len(gallery_data) else {}
        return gr.update(visible=True), idx, found.get("title", ""), found.get("description", "")

    def usable(edit_idx, new_title, new_description, gallery_data):
        texts = (new_title or "").strip() and (new_description or "").strip()
        return texts and edit_idx is not None and edit_idx < len(gallery_data)

    def immediate_disable_buttons_for_edit(edit_idx, new_title, new_description, gallery_data):
        if not usable(edit_idx, new_title, new_description, gallery_data):
            return gallery_data
        gallery_data[edit_idx]["image_generating"] = True
        return use.disable_all_buttons_for_image_operations(gallery_data)

    def perform_edit_update(edit_idx, new_title, new_description, gallery_data):
        if not usable(edit_idx, new_title, new_description, gallery_data):
            return gallery_data
        texts = {"title": new_title.strip(), "description": new_description.strip()}
        gallery_data[edit_idx].update(texts)
        take_picture(image_generation_service, gallery_data, edit_idx, random.randint(1, 999999))
        return use.enable_all_buttons_after_image_operations(gallery_data)

    window = [page.edit, page.edit_index, *page.edited]
    for idx, card in _cards(page):
        inputs = [gr.State(idx), page.data]
        card["edit_btn"].click(fn=open_edit_modal, inputs=inputs, outputs=window)
    page.edit_cancel.click(fn=lambda: (gr.update(visible=False), None, "", ""), outputs=window)
    _work(
        page,
        page.edit_update.click,
        immediate_disable_buttons_for_edit,
        perform_edit_update,
        (lambda: (gr.update(visible=False), None, "", ""), None, window),
        inputs=(page.edit_index, *page.edited),
    )


def _wire_delete(page):
    def create_delete_function(card_idx):
        def delete_specific_card(gallery_data):
            return [obj for idx, obj in enumerate(gallery_data) if idx != card_idx]

        return delete_specific_card

    for idx, card in _cards(page):
        delete = create_delete_function(idx)
        chain(
            card["delete_btn"].click(fn=delete, inputs=[page.data], outputs=[page.data]),
            page.show_cards,
            page.show_export,
        )


def _wire_export(page, use):
    window = [page.exporting, page.folder]
    page.export["export_btn"].click(
        fn=use.open_export_modal, inputs=[page.data], outputs=[page.exporting]
    )
    page.export_cancel.click(fn=use.close_export_modal, outputs=window)
    chain(
        page.export_save.click(
            fn=use.export_3d_assets_to_folder,
            inputs=[page.data, page.folder],
            outputs=[page.exporting],
        ),
        (use.close_export_modal, None, window),
    )
