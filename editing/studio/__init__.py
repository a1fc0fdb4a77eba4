"""The studio: a local page on which a photo is inverted and edited, by the same calls as on the command line."""
