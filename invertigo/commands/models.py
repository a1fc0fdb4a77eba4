"""The commands of `models`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from stylegan_core.console import Console


@command("list")
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


@command("fetch")
@click.argument("name")
@click.option("--accept-licence", is_flag=True, help="you have read the model's licence and accept it")
def models_fetch(name: str, accept_licence: bool, console: Console) -> None:
    """Bring the public model NAME into the cache; then: --generator NAME. Run it again to go on where it broke off.

    \b
    Examples:
      invertigo models fetch ffhq256
      invertigo models fetch ffhq256 --accept-licence
    """
    from stylegan_core.models.resolve import fetch

    console.say(f"{fetch(name, accept_licence, console.say)}: here")


@command("verify")
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


models = Family(
    "models",
    [models_list, models_fetch, models_verify],
    "Public models: what there is, fetch one, check what was fetched.",
)
