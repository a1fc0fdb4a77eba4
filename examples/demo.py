"""The main job on a real photo: invert it, edit it, paste it back. Writes into ./demo."""

from pathlib import Path

from PIL import Image
from skimage import data

import cli

OUT = Path("demo")


def main() -> None:
    """Run the commands a user would type, on NASA's portrait of Eileen Collins (public domain)."""
    OUT.mkdir(exist_ok=True)
    photo = OUT / "astronaut.png"
    Image.fromarray(data.astronaut()).save(photo)
    latent = OUT / "inverted" / "astronaut" / "face0" / "latent.npz"
    run("invert", photo, "--out", OUT / "inverted")
    run("edit", latent, "--transfer", "smile", "--out", OUT / "smile")
    run("edit", latent, "--transfer", "smile:-0.8", "--out", OUT / "serious")
    print("\nLook at:")
    for path in sorted(OUT.rglob("*.png")):
        if path.name in ("comparison.png", "photo_edited.png"):
            print(f"  {path}")


def run(*words: object) -> None:
    """Run one command as the shell would, and show it."""
    print("$ invertigo", *words)
    cli.main([str(word) for word in words], standalone_mode=False)


if __name__ == "__main__":
    main()
