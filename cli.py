"""The commands `invertigo`, `invert` and `edit`; torch is imported only where a command needs it."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from editing.config import (
    BoundaryConfig,
    ComponentConfig,
    EditConfig,
    FinishConfig,
    FitSource,
    ImportConfig,
    InterpolateConfig,
    PairsConfig,
    ReportConfig,
    StudioConfig,
)
from editing.operations.base import Operation
from editing.operations.words import EditWords, edit_options
from inversion.config import (
    CotrainConfig,
    EncoderConfig,
    InvertConfig,
    ProjectionConfig,
    RestorerConfig,
    ScorecardConfig,
    TuneConfig,
    VideoConfig,
)
from inversion.methods import default_steps
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.console import Console, end_on_interrupt_while_loading
from stylegan_core.errors import ConfigError, ToolkitError, ran_out_of_memory, sentence_of
from stylegan_core.grouped_help import GroupedCommand, GroupedOption
from stylegan_core.metrics.config import EvaluateConfig
from stylegan_core.options import options_from
from stylegan_core.progress import bars_silenced
from stylegan_core.spelling import suggestion
from stylegan_core.training.config import TRAIN_SECTIONS, DatasetConfig, TrainConfig

INTERRUPTED = "interrupted; what was finished is kept: run the same command again to go on"
CODES = "codes"  # in the output folder: inversions of the photos that an edit names
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
GENERATOR = click.option(
    "--generator",
    default=DEFAULT_GENERATOR,
    show_default=True,
    help="file, https URL, hf:OWNER/REPO/FILE[@REVISION], or name (shipped, or of `models list`)",
)
SIGN = click.option(
    "--sign", nargs=2, metavar="CERT KEY", default=None,
    help="sign the edited pictures with what was done (C2PA): PEM certificate chain and private key",
)  # fmt: skip
SETTING = ("generator", "encoder", "perceptual", "device")  # of `invert`'s options, where method and faces are given
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps")


def command_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command has: --quiet and --debug, handed on as `console`."""

    def wrapper(quiet: bool, debug: bool, **kwargs: Any) -> None:
        console = Console(debug, quiet)
        try:
            end_on_interrupt_while_loading()
            with bars_silenced(quiet):
                command(console=console, **kwargs)
        except ToolkitError as error:
            if debug:
                raise
            console.error(str(error))
            if isinstance(error, ConfigError):  # a mistake in the command itself
                sys.exit(2)
        except KeyboardInterrupt as error:
            console.error(str(error) or INTERRUPTED)
            sys.exit(130)
        except Exception as error:
            if debug or isinstance(error, click.ClickException):
                raise
            hint = "" if ran_out_of_memory(error) else " (run with --debug for the traceback)"
            console.error(sentence_of(error) + hint)
        if console.failures:
            sys.exit(1)

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    wrapper.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
    wrapper = click.option("--debug", is_flag=True, help="show tracebacks")(wrapper)
    return click.option("--quiet", is_flag=True, help="print errors only")(wrapper)


def out_option(default: str) -> Callable[..., Any]:
    """The folder to write into."""
    return click.option(
        "--out", default=default, show_default=True, help="folder to write into", cls=GroupedOption, group="Where to",
        everyday=True,
    )  # fmt: skip


def method_steps(invert: InvertConfig, projection: ProjectionConfig) -> ProjectionConfig:
    """Give the method its own number of steps where the command line names none."""
    default = click.get_current_context().get_parameter_source("steps") is click.core.ParameterSource.DEFAULT
    return replace(projection, steps=default_steps(invert.method)) if default else projection


def quick(invert: InvertConfig) -> InvertConfig:
    """Let an edit of a photo do without a search, unless the command line asks for one by method, steps or space.

    The photo's own pixels are moved, by what the edit does to the encoder's code; nothing else of a code is seen."""
    source, default = click.get_current_context().get_parameter_source, click.core.ParameterSource.DEFAULT
    asked = any(source(name) is not default for name in ("method", "steps", "space"))
    return invert if asked else replace(invert, method="guess")


def workshop(console: Console, out: str, edit: EditConfig, invert: InvertConfig, projection: ProjectionConfig,
             sign: tuple[str, str] | None = None) -> Any:  # fmt: skip
    """Load what every editing command needs."""
    from pathlib import Path

    from editing.edit import Workshop
    from inversion.invert import Inverter
    from stylegan_core.credentials import load_signature
    from stylegan_core.devices import fit_threads

    signature = load_signature(*sign) if sign else None
    inverter = Inverter(invert, method_steps(invert, projection))
    fit_threads(inverter.generator.img_resolution)
    return Workshop(inverter, edit, Path(out), console, Path(out) / CODES, signature=signature)


def ready(
    inputs: Sequence[str],
    operations: Sequence[Operation],
    console: Console,
    options: dict[str, Any],
    seeds: bool = False,
) -> list[str]:
    """Refuse what can be refused before torch is imported; return the inputs that can be used.

    `seeds` tells that inputs may be numbers of seeds. Sets the generator in `options` to the one that latents and
    directions were made with, where none is named."""
    from editing.early import check_setting, check_stray_words, code_problem, own_generator, usable

    options["invert"] = own_generator(inputs, operations, options["invert"])
    check_setting(options["invert"], options["edit"].photo)
    if not seeds:
        check_stray_words(inputs, operations, options["invert"].generator)
    for operation in operations:
        operation.check(options["invert"].generator)
    return usable(inputs, console, code_problem)


def editing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that take latents or photos and write edited photos."""
    for decorate in (
        options_from(ProjectionConfig, "projection"),
        options_from(InvertConfig, "invert"),
        options_from(EditConfig, "edit"),
        out_option("edited"),
    ):
        command = decorate(command)
    return command


class Commands(click.Group):
    """Commands whose help is grouped; for one that there is not it says what was probably meant."""

    command_class = GroupedCommand
    group_class = type

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command, or name the one that is most like it, or the option that it is."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            from stylegan_core.catalogue import shipped_names

            if name in shipped_names(DEFAULT_GENERATOR):
                ctx.fail(f"no command '{name}', but an edit: edit PHOTO --transfer {name}")
            ctx.fail(f"no command '{name}'{suggestion(name, self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="invertigo")
def main() -> None:
    """Invert photos of faces into StyleGAN latents, edit them, and paste them back."""


@main.command("invert", context_settings=CONTEXT)
@click.argument("photos", nargs=-1, required=True)
@out_option("out")
@options_from(InvertConfig, "invert")
@options_from(ProjectionConfig, "projection")
@options_from(TuneConfig, "tune")
@command_options
def invert_main(photos: tuple[str, ...], out: str, invert: InvertConfig, projection: ProjectionConfig,
                tune: TuneConfig, console: Console) -> None:  # fmt: skip
    """Find the latent codes of the faces in PHOTOS.

    Minimises  lambda_percept * L_percept(G(w), I) + lambda_mse / N * ||G(w) - I||^2  and writes, for each face,
    OUT/PHOTO/faceN/ with latent.npz, aligned.png, inverted.png, comparison.png and report.json.

    \b
    Examples:
      invert photo.jpg
      invert group.jpg --faces all --out codes
    """
    from editing.early import check_setting, usable

    check_setting(invert)
    if not (photos := tuple(usable(photos, console))):
        return
    from inversion.invert import invert_files

    invert_files(photos, out, invert, method_steps(invert, projection), console, tune)


@main.command("edit", context_settings=CONTEXT)
@click.argument("inputs", nargs=-1, required=True)
@edit_options("words")
@SIGN
@editing_options
@command_options
def edit_main(inputs: tuple[str, ...], words: EditWords, console: Console, **options: Any) -> None:
    """Edit the faces in INPUTS: latents, or photos, which are inverted first.

    Writes OUT/PHOTO/faceN/ with edited.png, photo_edited.png (the whole photo), latent.npz, comparison.png and
    report.json.

    \b
    Examples:
      edit photo.jpg --transfer smile:0.6
      edit out/photo/face0/latent.npz --transfer age:-1 --keep gender --out younger
    """
    from editing.early import check_operations

    operations = words.operations()
    options["invert"] = quick(options["invert"])
    chosen = ready(inputs, operations, console, options)
    check_operations(operations)
    if not chosen:
        return
    from editing.edit import edit_files

    edit_files(chosen, operations, workshop(console, **options))


@main.command(context_settings=CONTEXT)
@click.argument("first")
@click.argument("second")
@click.option(
    "--layers", "cuts", multiple=True, default=["coarse"], show_default=True,
    help="layers of SECOND: coarse, middle, fine, 4-7, or 0-2,6; repeat for a strip of several cuts",
)  # fmt: skip
@SIGN
@editing_options
@command_options
def crossover(first: str, second: str, cuts: tuple[str, ...], console: Console, **options: Any) -> None:
    """Give FIRST (a latent or photo) some layers of SECOND.

    \b
    Examples:
      invertigo crossover photo.jpg other.jpg --layers fine
      invertigo crossover a.npz b.npz --layers coarse --layers middle --paste none
    """
    from editing.operations.crossover import Crossover

    if not ready([first], [Crossover(second, cut) for cut in cuts], console, options):
        return
    from editing.films import crossover_cuts

    options["invert"] = quick(options["invert"])
    crossover_cuts(first, second, cuts, workshop(console, **options))


@main.command(context_settings=CONTEXT)
@click.argument("inputs", nargs=-1, required=True)
@click.option("--psi", default=0.7, show_default=True, help="w' = w_avg + psi * (w - w_avg)")
@click.option("--sweep", default="", help="also draw a strip of these psi, as -1,-0.5,0,0.5,1")
@click.option("--cutoff", type=int, help="number of layers that are pulled; all by default")
@SIGN
@editing_options
@command_options
def truncate(inputs: tuple[str, ...], psi: float, sweep: str, cutoff: int | None, console: Console,
             **options: Any) -> None:  # fmt: skip
    """Pull INPUTS (latents or photos) towards the mean face.

    \b
    Examples:
      invertigo truncate photo.jpg --psi 0.8
      invertigo truncate a.npz --psi 0.5 --sweep -1,-0.5,0,0.5,1
    """
    if not (chosen := ready(inputs, [], console, options)):
        return
    from editing.films import truncate_sweep

    truncate_sweep(chosen, psi, sweep, cutoff, workshop(console, **options))


@main.command(context_settings=CONTEXT)
@click.argument("inputs", nargs=-1, required=True)
@options_from(InterpolateConfig, "config")
@edit_options("words")
@editing_options
@command_options
def interpolate(inputs: tuple[str, ...], config: InterpolateConfig, words: EditWords, console: Console,
                **options: Any) -> None:  # fmt: skip
    """Make a video through INPUTS: latents, photos, or seed numbers, two or more; every frame is edited alike.

    \b
    Examples:
      invertigo interpolate a.npz b.npz --frames 48
      invertigo interpolate 3 7 11 --loop --format mp4
    """
    operations = words.operations()
    if len(ready(inputs, operations, console, options, seeds=True)) < len(inputs):
        return
    from editing.films import interpolate_files

    interpolate_files(inputs, config, workshop(console, **options), operations)


@main.command(context_settings=CONTEXT)
@click.option("--row", "rows", multiple=True, help="a latent.npz or a seed; repeat")
@click.option("--column", "columns", multiple=True, help="a latent.npz or a seed; repeat")
@click.option("--layers", default="middle", show_default=True, help="layers of the column: coarse, middle, fine, 4-7")
@out_option("mixed")
@GENERATOR
@DEVICE
@command_options
def mix(rows: tuple[str, ...], columns: tuple[str, ...], layers: str, out: str, generator: str, device: str,
        console: Console) -> None:  # fmt: skip
    """Draw a style-mixing grid of latents and seeds.

    \b
    Examples:
      invertigo mix --row 1 --row 2 --column 3 --column 4
      invertigo mix --row a.npz --column 7 --layers coarse
    """
    from editing.sheets import mix_files

    mix_files(rows, columns, layers, out, generator, device, console)


@main.command(context_settings=CONTEXT)
@click.option("--seeds", default="0-15", show_default=True, help="as 0-15,20")
@click.option("--psi", default=1.0, show_default=True, help="truncation: 1 is none, 0 the mean face")
@click.option("--class", "label", type=int, help="class of a conditional generator")
@out_option("generated")
@GENERATOR
@DEVICE
@command_options
def generate(seeds: str, psi: float, label: int | None, out: str, generator: str, device: str,
             console: Console) -> None:  # fmt: skip
    """Make faces from seeds.

    \b
    Examples:
      invertigo generate --seeds 0-15
      invertigo generate --seeds 3,7 --psi 0.7 --generator ffhq.pkl
    """
    from editing.sheets import generate_files

    generate_files(seeds, out, generator, psi, label, device, console)


class DefaultToRun(Commands):
    """A group whose command `run` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before anything that is no command of the group."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@main.group(cls=DefaultToRun, context_settings=CONTEXT)
def batch() -> None:
    """Run a recipe over folders of photos: batch [run] IN --recipe recipe.toml --out OUT."""


@batch.command("run", context_settings=CONTEXT)
@click.argument("photos", nargs=-1, required=True)
@click.option("--recipe", default="", help="TOML file of what to do; without it photos are inverted only")
@out_option("batch")
@click.option("--engine", default="local", show_default=True, type=click.Choice(["local", "ray"]))
@click.option("--workers", default=0, show_default=True, help="worker processes; 0: one a core")
@click.option("--batch-size", "size", default=8, show_default=True, help="photos that share one optimisation")
@click.option("--explain", is_flag=True, help="say what would be done, and do nothing")
@SIGN
@command_options
def batch_run(photos: tuple[str, ...], recipe: str, out: str, engine: str, workers: int, size: int, explain: bool,
              sign: tuple[str, str] | None, console: Console) -> None:  # fmt: skip
    """Do RECIPE to every photo in PHOTOS: folders, files, globs, or lists (.txt).

    Run it again and it does only what is not done; stop it at any moment.

    \b
    Examples:
      invertigo batch photos --recipe recipe.toml --out done
      invertigo batch photos --recipe recipe.toml --out done --explain
    """
    from editing.early import check_recipe

    check_recipe(recipe)
    from editing.batch import batch_files

    batch_files(photos, recipe, out, engine, workers, size, explain, console, sign)


@batch.command("status", context_settings=CONTEXT)
@click.argument("out")
@command_options
def batch_status(out: str, console: Console) -> None:
    """Count what is done in OUT and say why the rest failed.

    \b
    Examples:
      invertigo batch status done
      invertigo batch status done --quiet
    """
    from editing.batch import batch_status as run

    run(out, console)


@batch.command("retry", context_settings=CONTEXT)
@click.argument("out")
@command_options
def batch_retry(out: str, console: Console) -> None:
    """Mark the failed photos of OUT for another go; then run the same batch command again.

    \b
    Examples:
      invertigo batch retry done
      invertigo batch retry done --debug
    """
    from editing.batch import batch_retry as run

    run(out, console)


@batch.command("export", context_settings=CONTEXT)
@click.argument("out")
@click.option("--csv", required=True, help="file to write")
@command_options
def batch_export(out: str, csv: str, console: Console) -> None:
    """Write the manifest of OUT as a table.

    \b
    Examples:
      invertigo batch export done --csv done.csv
      invertigo batch export done --csv /tmp/table.csv
    """
    from editing.batch import batch_export as run

    run(out, csv, console)


@main.command(context_settings=CONTEXT)
@options_from(ScorecardConfig, "config")
@options_from(InvertConfig, "invert", only=SETTING)
@options_from(TuneConfig, "tune")
@out_option("scorecard")
@command_options
def scorecard(config: ScorecardConfig, invert: InvertConfig, tune: TuneConfig, out: str, console: Console) -> None:
    """Compare methods of inversion on aligned images: a table (CSV, Markdown, JSON) and a picture in OUT.

    \b
    Examples:
      invertigo scorecard --data faces.zip --images 4
      invertigo scorecard --data faces.zip --methods project:300,hybrid --out compared
    """
    from inversion.scorecard import write_scorecard

    write_scorecard(out, config, invert, tune, console)


@main.command(context_settings=CONTEXT)
@click.argument("film")
@edit_options("words")
@options_from(VideoConfig, "config")
@options_from(InvertConfig, "invert", only=SETTING)
@options_from(ProjectionConfig, "projection")
@out_option("video")
@command_options
def video(film: str, words: EditWords, config: VideoConfig, invert: InvertConfig,
          projection: ProjectionConfig, out: str, console: Console) -> None:  # fmt: skip
    """Invert the face in FILM (a video, or a folder of frames), edit it, and put it back, smoothly over time.

    \b
    Examples:
      invertigo video film.mp4 --transfer smile:0.6
      invertigo video frames --transfer age:1 --frames 100 --out older
    """
    from editing.early import check_setting, check_stray_words
    from stylegan_core.photo_files import film_problem

    operations = words.operations()
    check_setting(invert)
    if reason := film_problem(film):
        raise ConfigError(reason)
    check_stray_words([film], operations, invert.generator)
    for operation in operations:
        operation.check(invert.generator)
    from editing.video import edit_video

    edit_video(film, out, operations, config, invert, projection, console)


@main.command(context_settings=CONTEXT)
@click.argument("out")
@options_from(ReportConfig, "config")
@command_options
def report(out: str, config: ReportConfig, console: Console) -> None:
    """Write a contact sheet of a batch's OUT: one HTML file with before and after, figures and failures.

    \b
    Examples:
      invertigo report done
      invertigo report done --to sheet.html --pictures 200
    """
    from editing.report import write_report

    write_report(out, config, console)


@main.command(context_settings=CONTEXT)
@options_from(StudioConfig, "config")
@options_from(InvertConfig, "invert")
@options_from(ProjectionConfig, "projection")
@command_options
def studio(config: StudioConfig, invert: InvertConfig, projection: ProjectionConfig, console: Console) -> None:
    """Open a local page to invert and edit photos with sliders.

    \b
    Examples:
      invertigo studio
      invertigo studio --port 0 --no-browser --generator faces64
    """
    from editing.studio.serve import open_studio

    invert = quick(invert)
    open_studio(config, invert, method_steps(invert, projection), console)


@main.command(context_settings=CONTEXT)
@click.argument("path", default="astronaut.png")
@command_options
def sample(path: str, console: Console) -> None:
    """Write a sample photo to PATH: NASA's portrait of Eileen Collins, in the public domain.

    \b
    Examples:
      invertigo sample
      invertigo sample me.png
    """
    from inversion.sample import write_sample

    console.say(f"{write_sample(path)}: written")


@main.group(context_settings=CONTEXT)
def encoder() -> None:
    """Encoders, which guess a code from a face: train one for a generator."""


@encoder.command("train", context_settings=CONTEXT)
@click.option("--out", required=True, help="file to write, NAME.safetensors")
@GENERATOR
@click.option("--perceptual", default="auto", show_default=True, help="perceptual features, as those of `invert`")
@DEVICE
@options_from(EncoderConfig, "config")
@command_options
def encoder_train(out: str, generator: str, perceptual: str, device: str, config: EncoderConfig,
                  console: Console) -> None:  # fmt: skip
    """Train an encoder on images and the generator's own samples; then: invert --method hybrid --encoder OUT.

    \b
    Examples:
      invertigo encoder train --out mine.safetensors --generator my.safetensors
      invertigo encoder train --out mine.safetensors --data faces.zip --steps 4000
    """
    from inversion.train_encoder import train_encoder

    train_encoder(out, generator, perceptual, device, config, console)


@encoder.command("cotrain", context_settings=CONTEXT)
@out_option("runs/cotrain")
@click.option("--init", default=DEFAULT_GENERATOR, show_default=True, help="generator with an encoder, to start from")
@DEVICE
@options_from(CotrainConfig, "config")
@command_options
def encoder_cotrain(out: str, init: str, device: str, config: CotrainConfig, console: Console) -> None:
    """Train a generator of twice the resolution and its encoder together, on real faces.

    \b
    Examples:
      invertigo encoder cotrain --out mine.safetensors --data faces.zip
      invertigo encoder cotrain --out mine.safetensors --data faces.zip --seed 1
    """
    from inversion.cotrain import cotrain

    cotrain(out, init, device, config, console)


@main.group()
def restorer() -> None:
    """The network that brings detail back into a pasted face."""


@restorer.command("train", context_settings=CONTEXT)
@GENERATOR
@click.option("--out", default="restorer.safetensors", show_default=True, help="file to write")
@options_from(RestorerConfig, "config")
@command_options
def restorer_train(out: str, generator: str, config: RestorerConfig, console: Console) -> None:
    """Train a restorer on sharp aligned faces; then: edit --restore OUT. It works with any generator.

    \b
    Examples:
      invertigo restorer train --data faces.zip
      invertigo restorer train --data faces.zip --out mine.safetensors
    """
    from inversion.train_restorer import train_restorer

    train_restorer(out, generator, config, console)


@main.group(context_settings=CONTEXT)
def directions() -> None:
    """Directions of editing: list what is shipped, fit, factor or import your own."""


@directions.command("list", context_settings=CONTEXT)
@GENERATOR
@command_options
def directions_list(generator: str, console: Console) -> None:
    """List the directions shipped for a generator.

    \b
    Examples:
      invertigo directions list
      invertigo directions list --generator faces64
    """
    from editing.early import check_generator_name
    from stylegan_core.catalogue import list_directions

    check_generator_name(generator)
    for line in list_directions(generator):
        console.say(line)


@directions.command("show", context_settings=CONTEXT)
@click.argument("name")
@GENERATOR
@command_options
def directions_show(name: str, generator: str, console: Console) -> None:
    """Say everything a direction (a shipped name, or a file) knows of itself.

    \b
    Examples:
      invertigo directions show smile
      invertigo directions show mine.npz
    """
    from stylegan_core.catalogue import check_direction_name

    check_direction_name(name, generator)
    from stylegan_core.directions import show_direction

    console.say(show_direction(name, generator))


@directions.command("fit", context_settings=CONTEXT)
@click.option("--name", required=True, help="name of the direction")
@click.option("--out", required=True, help="file to write, NAME.npz")
@options_from(FitSource, "source")
@options_from(FinishConfig, "finish")
@options_from(PairsConfig, "pairs_config")
@options_from(BoundaryConfig, "boundary")
@options_from(InvertConfig, "invert")
@command_options
def directions_fit(name: str, out: str, source: FitSource, finish: FinishConfig, pairs_config: PairsConfig,
                   boundary: BoundaryConfig, invert: InvertConfig, console: Console) -> None:  # fmt: skip
    """Fit a direction: to pairs of photos, to labelled codes, or to what a judge says of the generator's faces.

    \b
    Examples:
      invertigo directions fit --name glasses --labels glasses.csv --out glasses.npz
      invertigo directions fit --name grin --pairs pairs.csv --out grin.npz
    """
    from editing.discover.fit import fit_direction

    fit_direction(out, name, source, pairs_config, boundary, finish, invert, console)


@directions.command("factor", context_settings=CONTEXT)
@click.argument("method", type=click.Choice(["sefa", "ganspace"]))
@click.option("--name", required=True, help="name of the direction")
@click.option("--out", required=True, help="file to write, NAME.npz")
@options_from(ComponentConfig, "config")
@GENERATOR
@command_options
def directions_factor(method: str, name: str, out: str, config: ComponentConfig, generator: str,
                      console: Console) -> None:  # fmt: skip
    """Take a component of the modulation weights (sefa) or of W (ganspace) as a direction.

    \b
    Examples:
      invertigo directions factor sefa --name first --out first.npz
      invertigo directions factor ganspace --component 3 --name light --out light.npz
    """
    from editing.discover.fit import fit_component

    fit_component(out, name, method, generator, config, console)


@directions.command("import", context_settings=CONTEXT)
@click.argument("file")
@click.option("--name", required=True, help="name of the direction")
@click.option("--out", required=True, help="file to write, NAME.npz")
@options_from(ImportConfig, "config")
@GENERATOR
@command_options
def directions_import(file: str, name: str, out: str, config: ImportConfig, generator: str,
                      console: Console) -> None:  # fmt: skip
    """Import another tool's direction: InterFaceGAN, Puzer .npy; e4e, PTI, ffhq_pca, rosinality .pt; GANSpace .npz.

    \b
    Examples:
      invertigo directions import age.npy --name age --out age.npz --generator ffhq.pkl
      invertigo directions import ffhq_pca.pt --component 47 --name pose --out pose.npz --generator ffhq.pt
    """
    from editing.discover.foreign import import_direction

    import_direction(file, name, out, generator, config, console)


@main.group(context_settings=CONTEXT)
def dials() -> None:
    """What `edit --set` sets on a face: list it, with the ranges that a generator has; fit them to one."""


@dials.command("list", context_settings=CONTEXT)
@GENERATOR
@command_options
def dials_list(generator: str, console: Console) -> None:
    """Say what can be set, in which units, and from where to where this generator goes.

    \b
    Examples:
      invertigo dials list
      invertigo dials list --generator faces64
    """
    from editing.dials import find_dials, range_lines
    from stylegan_core.checkpoints.load import load_generator

    for line in range_lines(find_dials(load_generator(generator))):
        console.say(line)


@dials.command("fit", context_settings=CONTEXT)
@click.option("--out", default="", help="file to write, NAME.npz; empty: where they are found from then on")
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(32, 100_000), help="faces to fit to")
@GENERATOR
@DEVICE
@command_options
def dials_fit(out: str, samples: int, generator: str, device: str, console: Console) -> None:
    """Fit the dials to a generator's own samples, and see from where to where they go.

    \b
    Examples:
      invertigo dials fit --generator my.safetensors
      invertigo dials fit --generator my.safetensors --samples 4000 --out my-dials.npz
    """
    from pathlib import Path

    from editing.dials import fit_dials, own_file, range_lines, save_dials
    from stylegan_core.checkpoints.load import load_generator
    from stylegan_core.devices import pick_device

    loaded = load_generator(generator, pick_device(device))
    table, path = fit_dials(loaded, samples), Path(out) if out else own_file(loaded)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_dials(path, table)
    for line in (*range_lines(table), f"{path}: written"):
        console.say(line)


@main.group(context_settings=CONTEXT)
def expression() -> None:
    """Expressions as small files for `edit --expression`: what is measured on a face, not its code."""


@expression.command("save", context_settings=CONTEXT)
@click.argument("photo")
@click.option("--out", required=True, help="file to write, NAME.json")
@click.option("--pose", is_flag=True, help="save how the head is held as well")
@command_options
def expression_save(photo: str, out: str, pose: bool, console: Console) -> None:
    """Read the expression off the largest face of PHOTO.

    \b
    Examples:
      invertigo expression save grin.jpg --out grin.json
      invertigo expression save grin.jpg --out grin.json --pose
    """
    from pathlib import Path

    from editing.saved_expressions import read_expression, save_expression
    from stylegan_core.images import read_photo

    values = read_expression(read_photo(photo), pose)
    save_expression(Path(out), values, Path(out).stem)
    console.say(f"{out}: {', '.join(f'{name}={value:g}' for name, value in values.items())}")


@expression.command("list", context_settings=CONTEXT)
@command_options
def expression_list(console: Console) -> None:
    """List the expressions that are shipped.

    \b
    Examples:
      invertigo expression list
      invertigo expression list --quiet
    """
    from editing.saved_expressions import shipped_expressions

    for name, values in shipped_expressions().items():
        console.say(f"{name}: {', '.join(f'{key}={value:g}' for key, value in values.items())}")


@main.command(cls=GroupedCommand, context_settings=CONTEXT, sections=TRAIN_SECTIONS)
@options_from(TrainConfig, "config")
@command_options
def train(config: TrainConfig, console: Console) -> None:
    """Train a generator on a folder or zip of square images; the same command goes on where it stopped.

    Writes snapshots, sample grids, log.jsonl and training-curve.png to OUT. Several processes: torchrun.

    \b
    Examples:
      invertigo train --data faces.zip --out run
      invertigo train --data faces.zip --out run --resolution 64 --kimg 1000
    """
    from stylegan_core.training.loop import train as run

    for line in run(config).lines:
        console.say(line)


@main.command("sample-data", context_settings=CONTEXT)
@click.argument("kind", type=click.Choice(["ring", "digits", "shapes"]))
@click.option("--out", default=None, help="zip to write; KIND.zip by default")
@click.option("--resolution", default=32, show_default=True, help="pixels a side")
@click.option("--num", default=2000, show_default=True, help="images (of digits there are 1,797)")
@click.option("--seed", default=0, show_default=True, help="of what is drawn")
@command_options
def sample_data(kind: str, out: str | None, resolution: int, num: int, seed: int, console: Console) -> None:
    """Write a labelled training set that needs no download: a ring of 8 modes, handwritten digits, coloured shapes.

    \b
    Examples:
      invertigo sample-data shapes
      invertigo sample-data digits --out digits.zip --resolution 16
    """
    from stylegan_core.training.sample_data import write_sample_data

    target = out or f"{kind}.zip"
    console.say(f"{target}: {write_sample_data(kind, target, resolution, num, seed)} images written")


@main.group(context_settings=CONTEXT)
def dataset() -> None:
    """Training sets: make one of a folder of pictures, look one over."""


@dataset.command("make", context_settings=CONTEXT)
@click.argument("source")
@click.argument("out")
@options_from(DatasetConfig, "config")
@command_options
def dataset_make(source: str, out: str, config: DatasetConfig, console: Console) -> None:
    """Crop the pictures of SOURCE (a folder or zip) into the new training set OUT, a zip; name what was left out.

    \b
    Examples:
      invertigo dataset make photos faces.zip --crop faces
      invertigo dataset make pictures squares.zip --resolution 64
    """
    from inversion.faces.crops import cropper_for
    from stylegan_core.training.prepare import make_dataset, report_lines

    report = make_dataset(source, out, config, cropper_for(config))
    for line in (*report_lines(report, f"written to {out}"), *(f"left out {n}: {why}" for n, why in report.rejects)):
        console.say(line)


@dataset.command("inspect", context_settings=CONTEXT)
@click.argument("path")
@command_options
def dataset_inspect(path: str, console: Console) -> None:
    """Decode every image of a training set and name what a run would stumble over; exit code 1 if there is any.

    \b
    Examples:
      invertigo dataset inspect faces.zip
      invertigo dataset inspect pictures
    """
    from stylegan_core.training.prepare import inspect_dataset, report_lines

    report = inspect_dataset(path)
    for line in report_lines(report, "read"):
        console.say(line)
    for name, reason in report.rejects:
        console.error(reason if name in reason else f"{name}: {reason}")


@main.command(context_settings=CONTEXT)
@click.argument("checkpoint", default=DEFAULT_GENERATOR)
@options_from(EvaluateConfig, "config")
@command_options
def evaluate(checkpoint: str, config: EvaluateConfig, console: Console) -> None:
    """Measure the generator of CHECKPOINT: distances to its training images, path lengths of its latent space.

    \b
    Examples:
      invertigo evaluate run/best.safetensors --data faces.zip
      invertigo evaluate faces64
    """
    from inversion.faces.judges import expression_probabilities
    from stylegan_core.metrics.evaluate import evaluate as run
    from stylegan_core.metrics.evaluate import report_lines

    for line in report_lines(run(checkpoint, config, expression_probabilities)):
        console.say(line)


@main.command(context_settings=CONTEXT)
@click.argument("source")
@click.argument("target")
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "native", "rosinality", "ada"]),
    help="auto: ours for .safetensors, rosinality's for .pt; ada: a plain state dict with NVIDIA's names",
)
@click.option("--half", is_flag=True, help="store our format in 16 bit")
@command_options
def convert(source: str, target: str, form: str, half: bool, console: Console) -> None:
    """Write the checkpoint SOURCE, of any format, to TARGET.

    \b
    Examples:
      invertigo convert ffhq.pkl ffhq.safetensors
      invertigo convert faces64 faces64.pt --format rosinality
    """
    from stylegan_core.checkpoints.convert import convert as run

    console.say(f"{target}: written ({run(source, target, form, half)})")


@main.group(context_settings=CONTEXT)
def models() -> None:
    """Public models: what there is, fetch one, check what was fetched."""


@models.command("list", context_settings=CONTEXT)
@command_options
def models_list(console: Console) -> None:
    """List the public checkpoints: name, whether it is here, what it is, resolution, size, licence.

    \b
    Examples:
      invertigo models list
      invertigo models list --quiet
    """
    from stylegan_core.models.resolve import list_models

    for line in list_models():
        console.say(line)


@models.command("fetch", context_settings=CONTEXT)
@click.argument("name")
@click.option("--accept-licence", is_flag=True, help="you have read the model's licence and accept it")
@command_options
def models_fetch(name: str, accept_licence: bool, console: Console) -> None:
    """Bring the public model NAME into the cache; then: --generator NAME. Run it again to go on where it broke off.

    \b
    Examples:
      invertigo models fetch ffhq256
      invertigo models fetch ffhq256 --accept-licence
    """
    from stylegan_core.models.resolve import fetch

    console.say(f"{fetch(name, accept_licence, console.say)}: here")


@models.command("verify", context_settings=CONTEXT)
@command_options
def models_verify(console: Console) -> None:
    """Check every fetched file against the SHA-256 of its first fetch; exit code 1 if one differs.

    \b
    Examples:
      invertigo models verify
      invertigo models verify --debug
    """
    from stylegan_core.models.resolve import verify

    for line in verify(console.say):
        console.error(line)


@main.command(context_settings=CONTEXT)
@click.argument("files", nargs=-1, required=True)
@command_options
def info(files: tuple[str, ...], console: Console) -> None:
    """Say what FILES are: checkpoints, latents, directions, or pictures and their content credentials.

    \b
    Examples:
      invertigo info ffhq.pkl
      invertigo info out/photo/face0/latent.npz smile.npz
    """
    from editing.info import describe_file

    for name in files:
        with console.guard(name):
            lines = describe_file(name)
            console.say("\n".join([name, *(f"  {label}: {text}" for label, text in lines.items())]))
            if lines.get("content credentials", "").startswith("BROKEN"):
                console.error(f"{name}: it is not as it was signed; its content credentials do not hold")


@main.command(context_settings=CONTEXT)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@command_options
def completion(shell: str, console: Console) -> None:
    """Print what makes SHELL complete commands, options and names with the Tab key.

    \b
    Examples:
      invertigo completion bash >> ~/.bashrc
      invertigo completion fish > ~/.config/fish/completions/invertigo.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    for name, command in (("invertigo", main), ("invert", invert_main), ("edit", edit_main)):
        console.say(kind(command, {}, name, f"_{name.upper()}_COMPLETE").source())


if __name__ == "__main__":
    main()
