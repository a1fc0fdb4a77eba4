"""Generators and discriminators of the StyleGAN family, and the protocol they share."""
