"""Scenes as pictures: what networks see, and the same in more detail for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from lmrl_envs.visual_dialogue import figures
from lmrl_envs.visual_dialogue.canvas import RGB, Canvas
from lmrl_envs.visual_dialogue.scenes import Scene

SIZE = 64
"""Pixels of a side of what networks see."""
_NOISE = 3.0  # standard deviation of the camera's noise, of 255
_HORIZON = 0.3
_NIGHT = (0.8, 0.8, 0.9)  # a factor for each channel; once more for what lies behind the things

# sky above and at the horizon, ground at the horizon and below
_LAND: Mapping[str, tuple[RGB, RGB, RGB, RGB]] = {
    "park": ((98, 168, 236), (188, 220, 246), (134, 190, 96), (104, 164, 74)),
    "beach": ((98, 168, 236), (188, 220, 246), (70, 140, 200), (232, 212, 164)),
    "street": ((98, 168, 236), (188, 220, 246), (150, 150, 152), (122, 122, 126)),
    "snow": ((98, 168, 236), (188, 220, 246), (226, 232, 242), (206, 216, 232)),
    "room": ((232, 222, 200), (222, 208, 184), (188, 150, 112), (170, 132, 96)),
}


def render(scene: Scene, size: int = SIZE) -> np.ndarray:
    """The picture as (size, size, 3) uint8, the same each time; noise included."""
    canvas = Canvas(size, _backdrop(size, scene.setting, scene.time, scene.weather))
    for thing in sorted(scene.objects, key=lambda thing: thing.cell):
        figures.draw(canvas, thing)
    _weather(canvas, scene)
    pixels = canvas.pixels()
    if scene.time == "night":
        pixels = pixels * np.array(_NIGHT, np.float32)
    noise = np.random.Generator(np.random.PCG64(scene.scene_id)).random((size, size, 1), np.float32) - 0.5
    return np.clip(pixels + noise * (_NOISE * 12**0.5), 0, 255).astype(np.uint8)


def picture(scene: Scene, size: int = 256) -> np.ndarray:
    """The picture for people: `render` at a higher resolution."""
    return render(scene, size)


@cache
def _backdrop(size: int, setting: str, time: str, weather: str) -> np.ndarray:
    """Sky, ground and what belongs to a setting, in a canvas's samples; read-only."""
    canvas = Canvas(size)
    high, low, far, near = _LAND[setting]
    if weather in ("cloudy", "rainy", "snowy"):
        high, low = (150, 158, 168), (190, 196, 204)
    if time == "night" and setting != "room":
        high, low = (14, 18, 56), (40, 48, 96)
    canvas.shade(0, _HORIZON, high, low)
    if setting == "beach":
        canvas.shade(_HORIZON, 0.41, far, (104, 176, 220))
        canvas.shade(0.41, 1, (240, 224, 180), near)
    else:
        canvas.shade(_HORIZON, 1, far, near)
    if setting == "street":
        for x, width, height in (
            (0.0, 0.16, 0.2),
            (0.2, 0.13, 0.25),
            (0.37, 0.15, 0.17),
            (0.57, 0.17, 0.24),
            (0.8, 0.2, 0.19),
        ):
            canvas.rectangle(x, _HORIZON - height, x + width, _HORIZON, (168, 150, 138))
            for row in range(int(height / 0.07)):
                for column in range(int(width / 0.05)):
                    left, top = x + 0.018 + column * 0.05, _HORIZON - height + 0.02 + row * 0.065
                    lit = (252, 226, 120) if time == "night" else (206, 224, 236)
                    canvas.rectangle(left, top, left + 0.022, top + 0.035, lit)
        for x in (0.02, 0.28, 0.54, 0.8):
            canvas.rectangle(x, 0.515, x + 0.14, 0.53, (236, 226, 160))
    if setting == "park":
        for x, radius in ((0.05, 0.1), (0.2, 0.08), (0.37, 0.11), (0.55, 0.08), (0.72, 0.1), (0.92, 0.11)):
            canvas.ellipse(x, _HORIZON, radius, 0.04, (78, 134, 70))
    if setting == "snow":
        canvas.polygon([(0.0, _HORIZON), (0.24, 0.12), (0.5, _HORIZON)], (176, 190, 214))
        canvas.polygon([(0.4, _HORIZON), (0.72, 0.08), (1.0, _HORIZON)], (160, 176, 204))
        canvas.polygon([(0.65, 0.132), (0.72, 0.08), (0.78, 0.128)], (246, 248, 252))
    if setting == "room":
        outside = (16, 20, 60) if time == "night" else (150, 204, 244)
        canvas.rectangle(0.395, 0.02, 0.605, 0.2, (250, 250, 246))
        canvas.rectangle(0.415, 0.04, 0.585, 0.18, outside)
        canvas.rectangle(0.495, 0.04, 0.505, 0.18, (250, 250, 246))
        canvas.rectangle(0, _HORIZON - 0.015, 1, _HORIZON, (250, 246, 236))
    if weather == "clear":
        if time == "night":
            canvas.ellipse(0.9, 0.07, 0.05, 0.05, (255, 252, 226))
            for x, y in ((0.08, 0.05), (0.22, 0.1), (0.3, 0.03), (0.45, 0.07), (0.62, 0.03), (0.74, 0.1)):
                canvas.ellipse(x, y, 0.009, 0.009, (255, 255, 240))
        else:
            canvas.ellipse(0.9, 0.08, 0.065, 0.065, (255, 234, 92))
    if weather in ("cloudy", "rainy", "snowy"):
        gray = 96.0 if time == "night" else 226.0 if weather == "cloudy" else 120.0
        for x, y in ((0.12, 0.06), (0.42, 0.05), (0.68, 0.07), (0.93, 0.05)):
            for dx, radius in ((-0.07, 0.045), (0.0, 0.06), (0.07, 0.045)):
                canvas.ellipse(x + dx, y, radius + 0.01, radius * 0.75, (gray, gray, gray + 6))
    samples = canvas.samples * np.array(_NIGHT if time == "night" else (1, 1, 1), np.float32)
    samples.setflags(write=False)
    return samples


def _weather(canvas: Canvas, scene: Scene) -> None:
    if scene.weather not in ("rainy", "snowy"):
        return
    drops = np.random.Generator(np.random.PCG64([scene.scene_id, 1])).random((46, 2)).tolist()
    for x, y in drops:
        if scene.weather == "rainy":
            canvas.line(x, y, x - 0.012, y + 0.05, 0.006, (150, 190, 240))
        else:
            canvas.ellipse(x, y, 0.011, 0.011, (255, 255, 255))
