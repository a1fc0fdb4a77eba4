"""Image resampling, modulated convolution and activations in plain PyTorch."""
