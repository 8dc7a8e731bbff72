"""Messages of the server's gateways, encoded once and sent a thousand times."""

import json
from functools import cache

from bench.worker.gateway_server.frames import TEXT, encode_frame
from simulator.waveform import vibration

AXIS_BYTES = 20_000
"""The size of one of the three axes of a 60 KB waveform."""
SHAPES = 8


def encode(message_type: str, data: dict[str, object]) -> bytes:
    """Encode a message as a frame."""
    text = json.dumps({"Type": message_type, "From": "SERV", "Target": "UI", "Data": data})
    return encode_frame(TEXT, text.encode())


@cache
def temperature_frames() -> list[bytes]:
    """Return notifications of a measured temperature."""
    return [
        encode(
            "NOT_DYN_TEMP",
            {"ID": 70_000 + number, "Serial": "1640123", "Time": "2026-03-02 10:15", "Temp": 20 + number},
        )
        for number in range(50)
    ]


@cache
def waveform_frames() -> list[bytes]:
    """Return notifications of a measured vibration, 60 KB each."""
    return [encode("NOT_DYN_READING", _reading(number)) for number in range(SHAPES)]


def _reading(number: int) -> dict[str, object]:
    shape = vibration(3 * number + 2)  # the longest possible
    axes = {name: _cut(axis) for name, axis in (("X", shape.x), ("Y", shape.y), ("Z", shape.z))}
    return {"ID": 80_000 + number, "Serial": "1640123", "Time": "2026-03-02 10:15", **axes}


def _cut(samples: str) -> str:
    """Repeat the samples and cut them to as many whole ones as fit."""
    text = f"{samples},{samples}"[: AXIS_BYTES + 1]
    return text[: text.rindex(",")]
