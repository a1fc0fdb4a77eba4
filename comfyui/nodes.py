"""Load a model, invert a face, edit it, paste it back: four nodes, each a thin layer over the toolkit.

ComfyUI's interface: INPUT_TYPES names the inputs, RETURN_TYPES the outputs, FUNCTION the method. An IMAGE is a float32
tensor [B, H, W, 3] in [0, 1]. A file saved from here has the pixels of the file that the command line writes. ComfyUI
runs nodes in torch's inference mode, in which there are no gradients, so these leave it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editing.editor import Editor
from editing.operations.transfer import Transfer
from editing.render import EditedFace, paste_into_photo
from inversion.config import PASTE_MODES, InvertConfig, ProjectionConfig
from inversion.invert import AlignedFace, Inverter
from inversion.latents import Latent
from inversion.methods import METHOD_NAMES
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.devices import fit_threads
from stylegan_core.errors import ConfigError
from stylegan_core.images import Photo, encode_png, to_uint8

MODEL, FACE = "INVERTIGO_MODEL", "INVERTIGO_FACE"
CATEGORY = "invertigo"
Inputs = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Face:
    """A face between two nodes: its code, the edits so far, and the photo it is from."""

    inverter: Inverter
    photo: Photo
    aligned: AlignedFace
    latent: Latent
    edited: EditedFace | None = None


class LoadModel:
    """Load a generator, and the encoder that its codes start from."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES = (MODEL,)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Name the inputs: generator and encoder as on the command line (name, file, URL, hf:...)."""
        return {
            "required": {
                "generator": ("STRING", {"default": DEFAULT_GENERATOR}),
                "encoder": ("STRING", {"default": ""}),
                "device": (["auto", "cpu", "cuda", "mps"],),
            }
        }

    @torch.inference_mode(False)
    def load(self, generator: str, encoder: str, device: str) -> tuple[Inverter]:
        """Return the model."""
        inverter = Inverter(InvertConfig(generator=generator, encoder=encoder, device=device))
        fit_threads(inverter.generator.img_resolution)
        return (inverter,)


class Invert:
    """Find the code of one face of a picture."""

    CATEGORY, FUNCTION = CATEGORY, "invert"
    RETURN_TYPES, RETURN_NAMES = (FACE, "IMAGE"), ("face", "inverted")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Name the inputs; `face` 0 is the largest of the picture."""
        return {
            "required": {
                "model": (MODEL,),
                "image": ("IMAGE",),
                "method": (list(METHOD_NAMES),),
                "steps": ("INT", {"default": ProjectionConfig().steps, "min": -1, "max": 10_000}),
                "face": ("INT", {"default": 0, "min": 0, "max": 99}),
                "align": ("BOOLEAN", {"default": True}),
            }
        }

    @torch.inference_mode(False)
    def invert(
        self, model: Inverter, image: Tensor, method: str, steps: int, face: int, align: bool
    ) -> tuple[Face, Tensor]:
        """Return the face and its render [1, R, R, 3]."""
        config = InvertConfig(
            generator=model.config.generator, encoder=model.config.encoder, device=model.config.device, method=method,
            faces=f"face{face}", align=align,
        )  # fmt: skip
        inverter = Inverter(config, ProjectionConfig(steps=steps), model.generator, model.perceptual)
        photo = as_photo(image)
        (aligned,) = inverter.align(photo)
        found = inverter.invert_face(photo, aligned)
        return Face(inverter, photo, aligned, found.latent), as_image(to_uint8(found.image))


class Edit:
    """Move a face along a direction; repeat the node for several edits."""

    CATEGORY, FUNCTION = CATEGORY, "edit"
    RETURN_TYPES, RETURN_NAMES = (FACE, "IMAGE"), ("face", "edited")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Name the inputs; `direction` is a name or a file."""
        return {
            "required": {
                "face": (FACE,),
                "direction": ("STRING", {"default": "smile"}),
                "strength": ("FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.05}),
            },
            "optional": {"layers": ("STRING", {"default": ""})},
        }

    @torch.inference_mode(False)
    def edit(self, face: Face, direction: str, strength: float, layers: str = "") -> tuple[Face, Tensor]:
        """Return the edited face and its render [1, R, R, 3]."""
        editor = Editor(face.inverter.generator, face.latent, photo=face.photo)
        edited = editor.apply(Transfer(direction, strength, layers))
        after = Face(face.inverter, face.photo, face.aligned, edited.latent, edited)
        return after, as_image(to_uint8(edited.edited))


class Paste:
    """Put an edited face back into its picture."""

    CATEGORY, FUNCTION = CATEGORY, "paste"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Name the inputs; the modes are those of `edit --paste`."""
        return {"required": {"face": (FACE,), "mode": ([mode for mode in PASTE_MODES if mode != "none"],)}}

    @torch.inference_mode(False)
    def paste(self, face: Face, mode: str) -> tuple[Tensor]:
        """Return the whole picture [1, H, W, 3]."""
        if face.edited is None:
            raise ConfigError("nothing was edited yet; put Invertigo's Edit before Paste")
        rgb, _ = paste_into_photo(face.photo, [face.edited], mode)
        return (as_image(rgb[None]),)


def as_photo(image: Tensor) -> Photo:
    """Return an IMAGE [1, H, W, 3] in [0, 1] as a photo; raises `ConfigError` for several."""
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[3] not in (3, 4):
        raise ConfigError(
            f"an image of shape {list(image.shape)}; one [1, H, W, 3] is expected, so take them one by one"
        )
    rgb = (image[0, :, :, :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return Photo(rgb, Path("comfyui.png"), hashlib.sha256(encode_png(rgb)).hexdigest())


def as_image(rgb: Any) -> Tensor:
    """Return uint8 [B, H, W, 3] as an IMAGE."""
    return torch.from_numpy(rgb.copy()).float() / 255


NODES: dict[str, tuple[type, str]] = {
    "InvertigoLoadModel": (LoadModel, "Invertigo: Load Model"),
    "InvertigoInvert": (Invert, "Invertigo: Invert"),
    "InvertigoEdit": (Edit, "Invertigo: Edit"),
    "InvertigoPaste": (Paste, "Invertigo: Paste"),
}
