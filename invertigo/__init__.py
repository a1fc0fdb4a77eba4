"""Photo in, latent code out, edited photo back.

    from invertigo import Inverter, Editor, Transfer

    inverter = Inverter()                                  # the default generator; Inverter("ffhq.pkl") for another
    face = inverter.invert("photo.jpg")[0]
    smiling = Editor(inverter.generator, face.latent).apply(Transfer("smile", 0.8))
    smiling.paste().save("smiling.jpg")

or all of it in one call:

    from invertigo import edit_photo

    edit_photo("photo.jpg", "smiling.jpg", smile=0.8)

The names below are imported when they are used, so that `import invertigo` loads neither torch nor a network. Tensors
of images are [N, C, H, W] in [-1, 1] RGB, codes `ws` are [N, num_ws, w_dim]. What a caller can get wrong raises a
`ToolkitError` that says in a sentence what came, what was expected, and what to do."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editing.config import SearchConfig as SearchConfig
    from editing.editor import Editor as Editor
    from editing.operations.base import Edit as Edit
    from editing.operations.base import Operation as Operation
    from editing.operations.crossover import Crossover as Crossover
    from editing.operations.drag import Drag as Drag
    from editing.operations.measures import SetExpression as SetExpression
    from editing.operations.measures import SetMeasures as SetMeasures
    from editing.operations.pair import TransferFrom as TransferFrom
    from editing.operations.text import Text as Text
    from editing.operations.transfer import Transfer as Transfer
    from editing.operations.truncate import Truncate as Truncate
    from editing.pasted import EditedPhoto as EditedPhoto
    from editing.pasted import paste_photo as paste_photo
    from editing.photo import edit_photo as edit_photo
    from editing.pipeline import EditPipeline as EditPipeline
    from editing.recipe import load_recipe as load_recipe
    from editing.render import EditedFace as EditedFace
    from inversion.batch.runner import run as run_batch  # noqa: F401
    from inversion.config import InvertConfig as InvertConfig
    from inversion.config import ProjectionConfig as ProjectionConfig
    from inversion.config import TuneConfig as TuneConfig
    from inversion.invert import InvertedFace as InvertedFace
    from inversion.invert import Inverter as Inverter
    from inversion.latents import Latent as Latent
    from inversion.latents import load_latent as load_latent
    from inversion.latents import save_latent as save_latent
    from stylegan_core.checkpoints.load import load_generator as load_generator
    from stylegan_core.directions import Direction as Direction
    from stylegan_core.directions import find_direction as find_direction
    from stylegan_core.errors import ToolkitError as ToolkitError
    from stylegan_core.images import Photo as Photo
    from stylegan_core.images import read_photo as read_photo


def __getattr__(name: str) -> Any:
    from invertigo.checks import refuse_shadows

    refuse_shadows()
    from stylegan_core.lazy import lazy_exports

    get, _, names = lazy_exports(__name__, __file__)
    return names if name == "__all__" else get(name)


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))
