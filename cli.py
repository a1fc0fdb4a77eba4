"""The commands `invertigo`, `invert` and `edit`: names and lines of help; a module is imported when it runs."""

import click

from invertigo.commands.groups import LazyCommands

LINES = {
    "batch": "Run a recipe over folders of photos.",
    "channels": "What each channel of style space moves: make the table.",
    "completion": "Print what makes a shell complete commands with the Tab key.",
    "convert": "Write a checkpoint, of any format, in another format.",
    "crossover": "Give one face (a latent or photo) some layers of another.",
    "dataset": "Training sets: make one of a folder of pictures, look one over.",
    "dials": "What `edit --set` sets on a face: list it, or fit it.",
    "directions": "Directions of editing: list, fit, factor or import them.",
    "edit": "Edit the faces in photos or latents.",
    "encoder": "Encoders, which guess a code from a face: train one.",
    "evaluate": "Measure a generator: distances to its data, path lengths.",
    "expression": "Expressions as small files for `edit --expression`.",
    "generate": "Make faces from seeds.",
    "human-eval": "Let people tell real pictures from generated ones.",
    "info": "Say what files are: checkpoints, latents, directions, pictures.",
    "interpolate": "Make a video through latents, photos, or seed numbers.",
    "invert": "Find the latent codes of the faces in photos.",
    "mix": "Draw a style-mixing grid of latents and seeds.",
    "models": "Public models: list them, fetch one, check what was fetched.",
    "report": "Write a contact sheet of a batch: before, after, failures.",
    "restorer": "The network that sharpens a pasted face: train one.",
    "sample": "Write a sample photo, NASA's portrait of Eileen Collins.",
    "sample-data": "Write a labelled training set that needs no download.",
    "scorecard": "Compare methods of inversion on faces.",
    "studio": "Open a local page to invert and edit photos with sliders.",
    "train": "Train a generator on a folder or zip of square images.",
    "truncate": "Pull latents or photos towards the mean face.",
    "video": "Edit the face in a film, smoothly over time.",
}

main = click.version_option(package_name="invertigo")(
    LazyCommands(
        LINES, "invertigo.commands", "Invert photos of faces into StyleGAN latents, edit them, and paste them back."
    )
)


def invert_main() -> None:
    """Run the command `invert` as a program of its own."""
    main.command_named("invert")()


def edit_main() -> None:
    """Run the command `edit` as a program of its own."""
    main.command_named("edit")()


if __name__ == "__main__":
    from invertigo.start import spare_imports

    spare_imports()
    main()
