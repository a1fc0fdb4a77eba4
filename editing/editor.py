"""Set a latent once, edit it many times."""

from collections.abc import Sequence

from editing.codes import code_opener
from editing.operations.base import Edit, Operation
from editing.operations.render import Render
from editing.render import EditedFace
from inversion.latents import Latent, check_generator
from stylegan_core.devices import fitting_threads
from stylegan_core.images import Photo
from stylegan_core.networks.protocol import Generator


class Editor:
    """Edits of one latent through one generator; the latent itself stays as it is.

    `source` names the latent in errors; `photo`, `paste` (the mode), `restore` and `region` (where edits may show,
    empty: everywhere) serve edits that look at the pasted photo as well."""

    def __init__(
        self, generator: Generator, latent: Latent, source: str = "the latent", photo: Photo | None = None,
        paste: str = "auto", region: str = "", restore: str = "auto",
    ) -> None:  # fmt: skip
        check_generator(latent, generator, source)
        self.generator, self.latent, self.photo = generator, latent, photo
        self.paste, self.region, self.restore = paste, region, restore

    def apply(self, *edits: Operation | Edit) -> EditedFace:
        """Apply operations (or what `resolve` made of them) one after the other; return the edited face.

        Everything is looked up before anything is applied. Raises `ToolkitError` for what does not fit the
        generator."""
        with fitting_threads(self.generator.img_resolution):
            return self._apply(edits)

    def _apply(self, edits: Sequence[Operation | Edit]) -> EditedFace:
        open_code = code_opener(self.generator)
        ready = [edit if isinstance(edit, Edit) else edit.resolve(self.generator, open_code) for edit in edits]
        render = Render(self.generator, self.latent, self.photo, self.paste, self.restore, self.region)
        ws, report = self.latent.ws.to(self.generator.w_avg.device), self.latent.report
        notes: list[str] = []
        for edit in ready:
            ws, said = edit.apply(ws, render)
            render = render.after(said)
            said = {key: value for key, value in said.items() if key != "styles"}
            notes += said.pop("notes", [])
            report = {**report, **said, "edits": [*report.get("edits", []), *said.get("edits", [])]}
        latent = render.latent.edited(ws.cpu(), report)
        return EditedFace(self.generator, latent, self.photo, tuple(notes), self.region)
