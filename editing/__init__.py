"""Edits on latent codes and the pictures they give."""
