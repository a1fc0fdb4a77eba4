"""From a photo to a latent code, and from a rendered face back into the photo."""
