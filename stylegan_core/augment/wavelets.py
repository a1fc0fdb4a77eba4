"""The two orthogonal filters of ADA: sym6 against aliasing, sym2 for its four frequency bands."""

import numpy as np
import torch
from torch import Tensor

SYM2 = [-0.12940952255126037, 0.2241438680420134, 0.8365163037378079, 0.48296291314453416]
SYM6 = [
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
]


def _upsampled(taps: np.ndarray) -> np.ndarray:
    """Put zeros between taps: h(z) -> h(z^2)."""
    spread = np.zeros(2 * len(taps) - 1)
    spread[::2] = taps
    return spread


def band_filters(num_bands: int = 4) -> Tensor:
    """Build the bank [num_bands, taps] of ADA, appendix B.5: the bands, low to high, add up to the identity.

    Each band is analysis and synthesis of one level of the sym2 wavelet tree without decimation."""
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    # H(z) H(1/z) / 2 and G(z) G(1/z) / 2 are symmetric and sum to 1 (the orthogonality condition).
    low2 = np.convolve(low, low[::-1]) / 2
    high2 = np.convolve(high, high[::-1]) / 2
    bank = [np.array([1.0])]
    for _ in range(num_bands - 1):
        # Every band so far lives in the octave below once the signal is seen at half the rate.
        bank = [np.convolve(_upsampled(band), low2) for band in bank]
        centre = np.zeros(max(len(band) for band in bank))
        start = (len(centre) - len(high2)) // 2
        centre[start : start + len(high2)] = high2
        bank.append(centre)
    return torch.from_numpy(np.stack(bank)).float()
