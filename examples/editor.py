"""Everything `edit` does, in library code: python examples/editor.py out/photo/face0/latent.npz [OUT]"""

import sys
from pathlib import Path

from editing.config import SearchConfig
from editing.editor import Editor
from editing.operations.transfer import Transfer
from editing.render import find_photo, paste_into_photo, write_photo
from editing.strength import search_line
from inversion.latents import load_latent, save_latent
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.images import to_uint8, write_png


def main(path: str, out: str) -> None:
    """Edit one latent in several ways."""
    folder = Path(out)

    # Three lines: set a latent once, edit it, look at it.
    editor = Editor(load_generator(DEFAULT_GENERATOR), load_latent(path))
    smiling = editor.apply(Transfer("smile", 0.8))
    write_png(folder / "smiling.png", to_uint8(smiling.edited)[0])

    # Several edits one after the other, one of them in some layers only; age left alone, the person kept.
    mixed = editor.apply(Transfer("smile", 0.6, keep="age,identity"), Transfer("gender", 0.3, layers="coarse"))
    save_latent(folder / "mixed.npz", mixed.latent)

    # The strength at which the judge is satisfied, and what it says of the search.
    happy = editor.apply(Transfer("smile", "auto", search=SearchConfig(target=0.7)))
    print(search_line(happy.latent.report["strength_search"]))

    # Back into the photo, where the latent knows it.
    photo = find_photo(happy.latent)
    if photo is not None:
        rgb, faces = paste_into_photo(photo, [happy], "auto")
        write_photo(folder / "photo.png", photo, rgb)
        print(f"seam gradient {faces[0].seam_ratio:.2f} of the photo's own")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else "edited")
