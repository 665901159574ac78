"""Stand-in for ComfyUI's main.py: its flags, model folders, GPU check and HTTP answers."""

from __future__ import annotations

import argparse
import os

import yaml
from standin import Request, die, gpus, model_files, need_gpu, need_writable, page, serve

HERE = os.path.dirname(os.path.abspath(__file__))
ALIASES = {"clip": "text_encoders", "unet": "diffusion_models"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", nargs="?", const="0.0.0.0,::", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188)
    for name in (
        "extra-model-paths-config",
        "output-directory",
        "input-directory",
        "temp-directory",
        "user-directory",
        "base-directory",
        "preview-method",
        "max-upload-size",
        "database-url",
        "front-end-version",
        "reserve-vram",
    ):
        parser.add_argument(f"--{name}")
    for name in (
        "cpu",
        "disable-xformers",
        "use-pytorch-cross-attention",
        "use-flash-attention",
        "use-sage-attention",
        "highvram",
        "normalvram",
        "lowvram",
        "gpu-only",
        "disable-auto-launch",
        "disable-metadata",
        "fast",
        "multi-user",
        "disable-api-nodes",
        "enable-manager",
        "disable-smart-memory",
    ):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def folders(config: str | None) -> dict[str, list[str]]:
    """Return folder type -> directories: the bundle's own, then those of the YAML."""
    base = os.path.join(HERE, "models")
    found = {name: [os.path.join(base, name)] for name in sorted(os.listdir(base))}
    files = [os.path.join(HERE, "extra_model_paths.yaml"), config]
    for path in [p for p in files if p and (p == config or os.path.exists(p))]:
        try:
            with open(path, encoding="utf-8") as stream:
                content = yaml.safe_load(stream) or {}
        except (OSError, yaml.YAMLError) as error:
            die(f"{type(error).__name__}: {error}")
        for section in content.values():
            extend(found, dict(section or {}))
    return found


def extend(found: dict[str, list[str]], section: dict[str, str]) -> None:
    base, first = section.pop("base_path", ""), section.pop("is_default", False)
    for kind, lines in section.items():
        paths = [os.path.join(base, line) for line in str(lines).split("\n") if line]
        old = found.setdefault(ALIASES.get(kind, kind), [])
        old[0 if first else len(old) : 0] = paths


def main() -> None:
    args = arguments()
    name = "cpu" if args.cpu else need_gpu()
    models = folders(args.extra_model_paths_config)
    for kind in ("output", "input", "temp", "user"):
        need_writable(getattr(args, f"{kind}_directory") or os.path.join(HERE, kind))

    def stats(_: Request) -> tuple[int, object]:
        return 200, {
            "system": {"os": "posix", "comfyui_version": "stand-in", "argv": ["main.py"]},
            "devices": [
                {
                    "name": name,
                    "type": "cpu" if args.cpu else "cuda",
                    "index": 0,
                    "present": args.cpu or bool(gpus()),
                }
            ],
        }

    def listing(request: Request) -> tuple[int, object]:
        kind = request.path.rstrip("/").rpartition("/")[2]
        if kind not in models:
            return 404, {}
        return 200, model_files(models[kind])

    routes = {
        "/": page("ComfyUI"),
        "/system_stats": stats,
        "/models": lambda _: (200, sorted(models)),
        "/models/*": listing,
        "/queue": lambda _: (200, {"queue_running": [], "queue_pending": []}),
    }
    routes |= {f"/api{path}": route for path, route in routes.items() if path != "/"}
    print(f"Starting server\n\nTo see the GUI go to: http://{args.listen}:{args.port}", flush=True)
    status = '{"type":"status","data":{"status":{"exec_info":{"queue_remaining":0}}}}'
    serve(args.listen.split(",")[0], args.port, routes, {"/ws": status, "/api/ws": status})


if __name__ == "__main__":
    main()
