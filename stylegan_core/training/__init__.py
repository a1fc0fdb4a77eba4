"""From a folder of images to a generator."""
