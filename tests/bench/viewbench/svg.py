# SPDX-License-Identifier: Apache-2.0
"""A picture as SVG text: the same figures give the same bytes, on any machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
INK, FAINT, MIDDLE, GROUND = "#222222", "#d8d8d8", "#777777", "#ffffff"

# Okabe and Ito's, which people who see fewer colours can tell apart, and two more.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#000000", "#56b4e9", "#8a6d00", "#5b3fa8", "#a3123c",
)  # fmt: skip

# On a page that is dark: each colour's other, by which the picture's own style replaces it.
DARK = dict(
    zip(
        (INK, FAINT, MIDDLE, GROUND, *COLOURS),
        (
            "#e6edf3", "#30363d", "#9aa4ae", "#0d1117",
            "#3d9be0", "#ff8a4c", "#2fc99b", "#e79fc9", "#f2b632",
            "#f5f5f5", "#a9dcfb", "#c9ac3a", "#a48bf0", "#f0668a",
        ),
        strict=True,
    )
)  # fmt: skip


def _style() -> str:
    rules = (
        f"[{what}='{light}'] {{ {what}: {dark} }}"
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    return "\n".join(
        ["<style>", "@media (prefers-color-scheme: dark) {", *rules, "}", "</style>"]
    )


def number(value: float) -> str:
    """As short as a coordinate may be."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


@dataclass
class Picture:
    """Elements, in the order in which they are drawn."""

    width: float
    height: float
    title: str
    elements: list[str] = field(default_factory=list)

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 1
    ) -> None:
        """A straight one."""
        ends = f"x1='{number(x1)}' y1='{number(y1)}' x2='{number(x2)}' y2='{number(y2)}'"
        self.elements.append(f"<line {ends} stroke='{colour}' stroke-width='{width:g}'/>")

    def path(
        self, points: list[tuple[float, float]], colour: str, dashes: str = "", width: float = 2
    ) -> None:
        """From point to point."""
        at = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        dashed = f" stroke-dasharray='{dashes}'" if dashes else ""
        drawn = f"stroke='{colour}' stroke-width='{width:g}'{dashed}"
        self.elements.append(f"<polyline points='{at}' fill='none' {drawn}/>")

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled one."""
        size = f"width='{number(width)}' height='{number(height)}'"
        self.elements.append(f"<rect x='{number(x)}' y='{number(y)}' {size} fill='{colour}'/>")

    def mark(self, x: float, y: float, shape: int, colour: str) -> None:
        """A point of a line: told apart by its shape as well."""
        corners = (
            ((-4, -4), (4, -4), (4, 4), (-4, 4)),
            ((0, -5), (5, 4), (-5, 4)),
            ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
            ((-5, -4), (5, -4), (0, 5)),
        )[shape % 4]
        at = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners)
        filled = colour if shape < 4 else GROUND
        self.elements.append(
            f"<polygon points='{at}' fill='{filled}' stroke='{colour}' stroke-width='1.5'/>"
        )

    def text(
        self, x: float, y: float, words: str, anchor: str = "start", size: int = 12,
        weight: str = "normal", halo: bool = False,
    ) -> None:  # fmt: skip
        """Words, on the line Y. With a halo they can be read where a line crosses them."""
        style = f"text-anchor='{anchor}' font-size='{size}' font-weight='{weight}' fill='{INK}'"
        if halo:
            style += f" stroke='{GROUND}' stroke-width='3' paint-order='stroke'"
        self.elements.append(
            f"<text x='{number(x)}' y='{number(y)}' {style}>{escape(words)}</text>"
        )

    def __str__(self) -> str:
        size = f"width='{number(self.width)}' height='{number(self.height)}'"
        view = f"viewBox='0 0 {number(self.width)} {number(self.height)}'"
        head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} {view} role='img' {FONT}>"
        ground = f"<rect {size} fill='{GROUND}'/>"
        title = f"<title>{escape(self.title)}</title>"
        return "\n".join([head, title, _style(), ground, *self.elements, "</svg>", ""])

    def write(self, path: Path) -> None:
        """Into a file."""
        path.write_text(str(self))
