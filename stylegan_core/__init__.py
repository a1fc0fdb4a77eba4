"""StyleGAN networks, checkpoints, training and metrics."""
