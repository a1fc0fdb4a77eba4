"""Edits on latent codes and the pictures they give."""

from typing import TYPE_CHECKING

from stylegan_core.lazy import lazy_exports

if TYPE_CHECKING:
    from editing.config import SearchConfig as SearchConfig
    from editing.editor import Editor as Editor
    from editing.operations.base import Edit as Edit
    from editing.operations.base import Operation as Operation
    from editing.operations.crossover import Crossover as Crossover
    from editing.operations.pair import TransferFrom as TransferFrom
    from editing.operations.transfer import Transfer as Transfer
    from editing.operations.truncate import Truncate as Truncate
    from editing.pasted import EditedPhoto as EditedPhoto
    from editing.pasted import paste_photo as paste_photo
    from editing.photo import edit_photo as edit_photo
    from editing.pipeline import EditPipeline as EditPipeline
    from editing.recipe import load_recipe as load_recipe
    from editing.render import EditedFace as EditedFace

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
