"""A small rasteriser: filled shapes with smooth edges on an image, in coordinates 0..1 with y down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RGB = tuple[float, float, float]
Point = tuple[float, float]

_SAMPLES = 2
"""Samples a pixel in each direction; edges are averages of these."""


class Canvas:
    """Shapes are painted one over the other, on a copy of `backdrop` where there is one."""

    def __init__(self, size: int, backdrop: np.ndarray | None = None) -> None:
        self._n = size * _SAMPLES
        self.samples = np.zeros((self._n, self._n, 3), np.float32) if backdrop is None else backdrop.copy()
        """(n, n, 3) float32, 0..255, where n is `size` times the samples a pixel."""
        self._at = (np.arange(self._n, dtype=np.float32) + 0.5) / self._n

    def pixels(self) -> np.ndarray:
        """(size, size, 3) float32."""
        n = _SAMPLES
        pixels = np.add.reduce([self.samples[row::n, column::n] for row in range(n) for column in range(n)])
        return pixels / np.float32(n * n)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, color: RGB) -> None:
        left, top, right, bottom = self._window(x0, y0, x1, y1)
        self.samples[top:bottom, left:right] = color

    def shade(self, y0: float, y1: float, upper: RGB, lower: RGB) -> None:
        """A band across the image that goes from one colour to another."""
        _, top, _, bottom = self._window(0, y0, 1, y1)
        share = np.linspace(0, 1, bottom - top, dtype=np.float32)[:, None]
        band = (1 - share) * np.array(upper, np.float32) + share * np.array(lower, np.float32)
        self.samples[top:bottom] = band[:, None]

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: RGB) -> None:
        X, Y, view = self._grid(x - rx, y - ry, x + rx, y + ry)
        view[((X - x) / rx) ** 2 + ((Y - y) / ry) ** 2 <= 1] = color

    def ring(self, x: float, y: float, radius: float, width: float, color: RGB) -> None:
        outer = radius + width / 2
        X, Y, view = self._grid(x - outer, y - outer, x + outer, y + outer)
        distance = np.sqrt((X - x) ** 2 + (Y - y) ** 2)
        view[np.abs(distance - radius) <= width / 2] = color

    def polygon(self, points: Sequence[Point], color: RGB) -> None:
        """A convex polygon, its corners in either direction."""
        xs, ys = zip(*points, strict=True)
        X, Y, view = self._grid(min(xs), min(ys), max(xs), max(ys))
        sides = [
            (X - ax) * (by - ay) - (Y - ay) * (bx - ax)
            for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True)
        ]
        view[np.logical_and.reduce([side >= 0 for side in sides])] = color
        view[np.logical_and.reduce([side <= 0 for side in sides])] = color

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, color: RGB) -> None:
        """A stroke with round ends."""
        r = width / 2
        X, Y, view = self._grid(min(x0, x1) - r, min(y0, y1) - r, max(x0, x1) + r, max(y0, y1) + r)
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((X - x0) * dx + (Y - y0) * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
        view[(X - x0 - along * dx) ** 2 + (Y - y0 - along * dy) ** 2 <= r * r] = color

    def _window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
        n = self._n
        left, top = max(0, round(x0 * n)), max(0, round(y0 * n))
        return left, top, max(left, min(n, round(x1 * n))), max(top, min(n, round(y1 * n)))

    def _grid(self, x0: float, y0: float, x1: float, y1: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns' x (1, W), rows' y (H, 1) and the image (H, W, 3) of a window, one sample wider than asked."""
        margin = 1 / self._n
        left, top, right, bottom = self._window(x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        return self._at[None, left:right], self._at[top:bottom, None], self.samples[top:bottom, left:right]


class Pen:
    """Draws in a box's own coordinates: x from -0.5 (left) to 0.5 (right), y from 0 (foot) to 1 (top)."""

    def __init__(self, canvas: Canvas, box: tuple[float, float, float, float]) -> None:
        x0, y0, x1, y1 = box
        self._canvas, self._x, self._y, self.w, self.h = canvas, (x0 + x1) / 2, y1, x1 - x0, y1 - y0

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self._x + x * self.w, self._y - y * self.h

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, color: RGB) -> None:
        """From the lower left corner to the upper right one."""
        (left, bottom), (right, top) = self.at(x0, y0), self.at(x1, y1)
        self._canvas.rectangle(left, top, right, bottom, color)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: RGB) -> None:
        self._canvas.ellipse(*self.at(x, y), rx * self.w, ry * self.h, color)

    def circle(self, x: float, y: float, radius: float, color: RGB) -> None:
        """The radius is a share of the width."""
        self._canvas.ellipse(*self.at(x, y), radius * self.w, radius * self.w, color)

    def ring(self, x: float, y: float, radius: float, width: float, color: RGB) -> None:
        self._canvas.ring(*self.at(x, y), radius * self.w, width * self.w, color)

    def polygon(self, *points: tuple[float, float], color: RGB) -> None:
        self._canvas.polygon([self.at(x, y) for x, y in points], color)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, color: RGB) -> None:
        """The stroke's width is a share of the thing's width."""
        self._canvas.line(*self.at(x0, y0), *self.at(x1, y1), width * self.w, color)
