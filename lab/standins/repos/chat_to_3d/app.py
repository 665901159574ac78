"""The page: a sentence, then a gallery of objects, then GLB files. For one person at a time."""

import base64
import gc
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import requests
import torch
from components.blender_export import (
    close_export_modal,
    create_blender_export_section,
    create_export_modal,
    export_3d_assets_to_folder,
    open_export_modal,
    update_export_section,
)
from components.chat_interface import create_chat_interface, handle_scene_description
from components.image_card import (
    create_3d_generation_handler,
    create_convert_all_3d_handler,
    create_refresh_handler,
)
from components.image_gallery import create_image_gallery
from components.modal import (
    close_modal,
    close_start_over_confirmation,
    create_edit_modal,
    create_modal,
    create_start_over_confirmation_modal,
    open_image_settings,
    open_start_over_confirmation,
)
from components.wiring import add_steps, chain, wire_cards
from nim_llm.manager import stop_container
from services.agent_service import AgentService
from services.image_generation_service import ImageGenerationService
from services.model_3d_service import Model3DService
from utils import (
    disable_all_buttons_for_3d_generation,
    disable_all_buttons_for_image_operations,
    enable_all_buttons_after_3d_generation,
    enable_all_buttons_after_image_operations,
    is_llm_should_be_stopped,
)

import config

logging.basicConfig(level=logging.INFO, format="%(asctime)s - %(levelname)s - %(message)s")
logger = logging.getLogger(__name__)

_shutdown_requested = False
_termination_server_thread = None
_nim_bootstrap_started = False
_trellis_bootstrap_started = False
_nim_process = None
_trellis_process = None
# For all tabs together.
_in_workspace_mode = False


class TerminationServer:
    """Tells everyone who asks the id of this process."""

    def __init__(self, host="localhost", port=12345):
        self.host = host
        self.port = port
        self.server_socket = None
        self.running = False

    def start(self):
        def handle_termination():
            self.server_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.server_socket.bind((self.host, self.port))
            self.server_socket.listen(1)
            self.server_socket.settimeout(1.0)
            self.running = True
            while self.running:
                try:
                    connection, _ = self.server_socket.accept()
                except TimeoutError:
                    continue
                except OSError:
                    break
                with connection:
                    if connection.recv(1024) == b"terminate":
                        connection.send(f"terminating:{os.getpid()}".encode())

        self.thread = threading.Thread(target=handle_termination, daemon=True)
        self.thread.start()

    def stop(self):
        self.running = False
        if self.server_socket:
            self.server_socket.close()
        if self.thread and self.thread.is_alive():
            self.thread.join(timeout=2)


def signal_handler(signum, frame):
    global _shutdown_requested
    _shutdown_requested = True
    if _termination_server_thread:
        _termination_server_thread.stop()
    sys.exit(0)


signal.signal(signal.SIGINT, signal_handler)
signal.signal(signal.SIGTERM, signal_handler)

try:
    with open(config.CUSTOM_CSS_FILE) as file:
        custom_css = file.read()
except FileNotFoundError:
    custom_css = ""
try:
    with open(config.NVIDIA_LOGO_FILE, "rb") as file:
        nvidia_html = f"<img src='data:image/png;base64,{base64.b64encode(file.read()).decode()}'>"
except FileNotFoundError:
    nvidia_html = "<div class='nvidia-logo-container'>Chat to 3D</div>"


def _healthy(base_url, timeout):
    try:
        return requests.get(f"{base_url}/health/ready", timeout=timeout).status_code == 200
    except Exception:
        return False


def _run_in_background(folder, script):
    path = Path(__file__).parent / folder / script
    print(f"Starting {path}")
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _ensure_llm_nim_started():
    global _nim_bootstrap_started
    if _nim_bootstrap_started:
        return
    _nim_bootstrap_started = True
    if _healthy(config.AGENT_BASE_URL, 1.5):
        return

    def _runner():
        global _nim_process
        _nim_process = _run_in_background("nim_llm", "run_llama.py")

    threading.Thread(target=_runner, daemon=True).start()


def _ensure_trellis_nim_started():
    global _trellis_bootstrap_started
    if _trellis_bootstrap_started:
        return
    _trellis_bootstrap_started = True
    if _healthy(config.TRELLIS_BASE_URL, 1.5):
        return

    def _runner():
        global _trellis_process
        _trellis_process = _run_in_background("nim_trellis", "run_trellis.py")

    threading.Thread(target=_runner, daemon=True).start()


def _ensure_all_nims_started():
    _ensure_llm_nim_started()
    _ensure_trellis_nim_started()


def stop_llm_container(force=False):
    """Free the card for the pictures, unless it is large."""
    global _nim_bootstrap_started
    if not force and not (_in_workspace_mode and is_llm_should_be_stopped()):
        return
    try:
        stop_container()
    except Exception as error:
        print(f"Error stopping LLM container: {error}")
    time.sleep(2)
    gc.collect()
    torch.cuda.empty_cache()
    _nim_bootstrap_started = False


def stop_trellis_container(force=True):
    global _trellis_bootstrap_started
    try:
        from nim_trellis.manager import stop_container as stop_trellis_container_func

        stop_trellis_container_func()
    except Exception as error:
        print(f"Error stopping Trellis container: {error}")
    time.sleep(2)
    gc.collect()
    torch.cuda.empty_cache()
    _trellis_bootstrap_started = False


def delete_assets_dir():
    """Delete all that was made before this start."""
    for folder in (config.GENERATED_IMAGES_DIR, config.MODELS_DIR):
        if os.path.exists(folder):
            shutil.rmtree(folder)


def _lay_out():
    """Create the page's components; return them by name."""
    page = SimpleNamespace()
    gr.HTML(f"<style>{custom_css}</style>")
    with gr.Row(elem_classes=["header-section"]):
        gr.HTML(nvidia_html)
        with gr.Row(elem_classes=["status-row"]):
            page.status = gr.HTML("")
            page.refresh_status = gr.Button(
                "↻", elem_classes=["refresh-status-btn"], size="sm", visible=False
            )
    page.spinner = gr.HTML(
        "<div class='llm-spinner-overlay'>The models are loading.</div>", visible=True
    )
    with (
        gr.Row(elem_classes=["content-row"]),
        gr.Column(scale=4, elem_classes=["main-content", "landing"]) as page.main,
    ):
        page.chat = create_chat_interface()
        page.chat["section"].visible = False
        with gr.Column(visible=False, elem_classes=["workspace-section"]) as page.workspace:
            with gr.Row():
                page.start_over = gr.Button(
                    "← Another place", elem_classes=["start-over-btn"], size="sm"
                )
            page.gallery = create_image_gallery()
            page.export = create_blender_export_section()
        page.export_status = gr.Textbox(interactive=False, visible=False)
        page.modal_visible = gr.State(False)
        page.overlay = gr.HTML("")
        page.window, page.title, page.close, page.image, page.model, page.no_model = create_modal()
        page.window.visible = False
        page.edit, *page.edited, page.edit_cancel, page.edit_update = create_edit_modal()
        page.edit.visible = False
        page.edit_index = gr.State(None)
        page.exporting, page.folder, page.export_cancel, page.export_save = create_export_modal()
        page.confirmation, page.leave_cancel, page.leave = create_start_over_confirmation_modal()
        # A tab that is loaded again begins at 0.
        page.counter = gr.State(0)
    page.right_panel = gr.Column(visible=False)
    page.data = page.gallery["data"]
    page.show_start_over = (update_start_over_state, [page.data], [page.start_over])
    return page


def reveal_workspace(gallery_data, current_counter):
    global _in_workspace_mode
    if not gallery_data:
        return (
            gr.update(visible=False),
            gr.update(elem_classes=["main-content", "landing"]),
            gr.update(visible=True),
            current_counter,
        )
    _in_workspace_mode = True
    return (
        gr.update(visible=True),
        gr.update(elem_classes=["main-content"]),
        gr.update(visible=False),
        current_counter + 1,
    )


def mark_images_generating(gallery_data):
    if not _in_workspace_mode:
        return gallery_data
    return [{**obj, "image_generating": True} for obj in gallery_data]


def update_start_over_state(gallery_data):
    if not _in_workspace_mode or not gallery_data:
        return gr.update(visible=False)
    names = ("image_generating", "3d_generating", "batch_processing")
    busy = any(obj.get(name) for obj in gallery_data for name in names)
    return gr.update(visible=not busy)


def check_services_health(current_counter):
    """Show whether both models are ready. A tab that begins while another has a scene is taken for
    one that was loaded again, and ends everything."""
    if _in_workspace_mode and current_counter == 0:
        print("DETECTED BROWSER REFRESH")
        _termination_server_thread.stop()
        stop_llm_container(force=True)
        stop_trellis_container(force=True)
        os._exit(0)
    llm_ready = _healthy(config.AGENT_BASE_URL, 1.0)
    trellis_ready = _healthy(config.TRELLIS_BASE_URL, 1.0)
    both = llm_ready and trellis_ready
    words = {True: "ready", False: "Unloaded"}
    return (
        gr.update(visible=not both and not _in_workspace_mode),
        gr.update(value=f"LLM: {words[llm_ready]} | Trellis: {words[trellis_ready]}"),
        gr.update(visible=both and not _in_workspace_mode),
        gr.update(visible=True),
        gr.update(active=not _in_workspace_mode),
    )


def _wire_health(page):
    timer = page.timer = gr.Timer(5, active=True)
    shown = [page.spinner, page.status, page.chat["section"], page.refresh_status, timer]
    for trigger in (timer.tick, page.refresh_status.click):
        trigger(fn=check_services_health, inputs=[page.counter], outputs=shown)


def _wire_scene(page, agent_service, image_generation_service):
    def handle_scene_input(scene_description, gallery_data):
        message, objects, tip, show_tip = handle_scene_description(
            scene_description, agent_service, gallery_data, None
        )
        if show_tip:
            return "", gallery_data, gr.update(value=tip, visible=True)
        agent_service.clear_memory()
        return message, objects, gr.update(value="", visible=False)

    def generate_images_for_gallery(gallery_data):
        """Return the objects with pictures. Why there are none is only in the log."""
        if not _in_workspace_mode or not gallery_data:
            return gallery_data
        made = {}
        try:
            success, message, made = image_generation_service.generate_images_for_objects(
                gallery_data, output_dir=config.GENERATED_IMAGES_DIR
            )
            if image_generation_service.if_sana_pipeline_movement_required():
                image_generation_service.move_sana_pipeline_to_cpu()
            if not success:
                print(f"Image generation failed: {message}")
        except Exception as error:
            print(f"Error during image generation: {error}")
        found = []
        for obj in gallery_data:
            path = {"path": made[obj["title"]]} if obj["title"] in made else {}
            found.append({**obj, **path, "image_generating": False})
        return found

    chat, data = page.chat, page.data
    revealed = [page.workspace, page.main, chat["section"], page.counter]
    for trigger in (chat["send_btn"].click, chat["input"].submit):
        chain(
            trigger(
                fn=handle_scene_input,
                inputs=[chat["input"], data],
                outputs=[chat["input"], data, chat["tip"]],
            ),
            page.show_cards,
            page.show_export,
            (reveal_workspace, [data, page.counter], revealed),
            (mark_images_generating, [data], [data]),
            page.show_cards,
            page.show_start_over,
            (stop_llm_container, [], []),
            (generate_images_for_gallery, [data], [data]),
            page.show_cards,
            page.show_export,
            page.show_start_over,
        )


def _wire_start_over(page, image_generation_service):
    def clear_gallery_state(_):
        return []

    def go_to_first_screen():
        global _in_workspace_mode
        _in_workspace_mode = False
        image_generation_service.cleanup_sana_pipeline()
        addresses = (config.AGENT_BASE_URL, config.TRELLIS_BASE_URL)
        ready = all(_healthy(address, 1.0) for address in addresses)
        if not ready:
            _ensure_all_nims_started()
        return (
            gr.update(visible=False),
            gr.update(elem_classes=["main-content", "landing"]),
            gr.update(visible=ready),
            gr.update(value=""),
            gr.update(visible=False),
            gr.update(visible=False),
            gr.update(active=True),
        )

    first = [page.workspace, page.main, page.chat["section"], page.chat["input"]]
    first += [page.export_status, page.right_panel, page.timer]
    hide = (lambda: gr.update(visible=False), None, [page.confirmation])
    chain(
        page.start_over.click(fn=open_start_over_confirmation, outputs=[page.overlay]),
        (lambda: gr.update(visible=True), None, [page.confirmation]),
    )
    chain(page.leave_cancel.click(fn=close_start_over_confirmation, outputs=[page.overlay]), hide)
    chain(
        page.leave.click(fn=close_start_over_confirmation, outputs=[page.overlay]),
        hide,
        (clear_gallery_state, [page.data], [page.data]),
        (go_to_first_screen, [], first),
    )


def create_app():
    agent_service = AgentService()
    image_generation_service = ImageGenerationService()
    model_3d_service = Model3DService()
    delete_assets_dir()
    _ensure_all_nims_started()

    global _termination_server_thread
    _termination_server_thread = TerminationServer()
    _termination_server_thread.start()

    use = SimpleNamespace(
        close_export_modal=close_export_modal,
        close_modal=close_modal,
        create_3d_generation_handler=create_3d_generation_handler,
        create_convert_all_3d_handler=create_convert_all_3d_handler,
        create_refresh_handler=create_refresh_handler,
        disable_all_buttons_for_3d_generation=disable_all_buttons_for_3d_generation,
        disable_all_buttons_for_image_operations=disable_all_buttons_for_image_operations,
        enable_all_buttons_after_3d_generation=enable_all_buttons_after_3d_generation,
        enable_all_buttons_after_image_operations=enable_all_buttons_after_image_operations,
        export_3d_assets_to_folder=export_3d_assets_to_folder,
        open_export_modal=open_export_modal,
        open_image_settings=open_image_settings,
        update_export_section=update_export_section,
    )
    with gr.Blocks(title="3D-Object-Generator") as app:
        page = _lay_out()
        add_steps(page, use)
        _wire_health(page)
        _wire_scene(page, agent_service, image_generation_service)
        _wire_start_over(page, image_generation_service)
        wire_cards(page, use, image_generation_service, model_3d_service)
    return app


if __name__ == "__main__":
    try:
        app = create_app()
        app.launch(debug=True, server_name="127.0.0.1", server_port=7860, share=False, quiet=True)
    except Exception as error:
        print(f"Unexpected error: {error}")
    finally:
        if _termination_server_thread:
            _termination_server_thread.stop()
        for process in (_nim_process, _trellis_process):
            if process and process.poll() is None:
                process.terminate()
        stop_llm_container(force=True)
        stop_trellis_container(force=True)
