"""Vibration of a pump's bearing as an accelerometer measures it. Pure and repeatable."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache

SAMPLE_RATE_HZ = 12_800
SAMPLE_COUNTS = (2048, 3200, 4096)
# A rolling bearing's outer-race frequency is not a whole multiple of the shaft's.
BEARING_ORDER = 3.58
SHAPES = 32


@dataclass(frozen=True, slots=True)
class Vibration:
    """One measurement: comma-separated samples in g, one string per axis, of equal length."""

    x: str
    y: str
    z: str


@lru_cache(maxsize=SHAPES)
def vibration(shape: int) -> Vibration:
    """Return measurement number `shape` (modulo 32, so that many readings need little memory)."""
    shape %= SHAPES
    chance = random.Random(shape)
    shaft_hz = chance.uniform(24.0, 30.0)
    samples = SAMPLE_COUNTS[shape % len(SAMPLE_COUNTS)]
    radial, tangential, axial = (
        _axis(chance, shaft_hz, samples, strength) for strength in (0.35, 0.25, 0.12)
    )
    return Vibration(radial, tangential, axial)


def _axis(chance: random.Random, shaft_hz: float, samples: int, strength_g: float) -> str:
    """Return one axis: the shaft's harmonics, a bearing tone modulated by the shaft's turn, and noise."""
    harmonics = [
        (2 * math.pi * shaft_hz * order / SAMPLE_RATE_HZ, strength_g / order, chance.uniform(0, 2 * math.pi))
        for order in (1, 2, 3)
    ]
    turn = harmonics[0][0]
    bearing = turn * BEARING_ORDER * 8
    values = []
    for index in range(samples):
        value = sum(size * math.sin(step * index + phase) for step, size, phase in harmonics)
        value += 0.2 * strength_g * (1 + math.cos(turn * index)) * math.sin(bearing * index)
        values.append(f"{value + chance.gauss(0, 0.02):.4f}")
    return ",".join(values)
