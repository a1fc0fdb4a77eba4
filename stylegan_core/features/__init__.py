"""Perceptual and Inception features, and where their weights come from."""
