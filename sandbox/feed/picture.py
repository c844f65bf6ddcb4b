"""Pictures of products: a drawing each, on a backdrop in the colour of its category."""

import re
from functools import cache
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 400, 300
_HUES = {
    "bags": 75, "clothing": 335, "electronics": 185, "home": 265, "kitchen": 212, "sports": 140,
    "stationery": 28,
}  # fmt: skip
_ANY_HUE = 220
_DRAWING = re.compile(r'<g id="drawing-(\d+)">(.*?)\n</g>', re.DOTALL)


def draw(*, number: int, title: str, category: str) -> str:
    """Draw the picture of one product as SVG; one without a drawing gets its initials."""
    hue = _HUES.get(category, _ANY_HUE)
    thing = _drawings().get(number) or _initials(title, hue)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'
        '<defs><radialGradient id="backdrop" cy=".4" r=".8">'
        f'<stop stop-color="hsl({hue} 45% 96%)"/><stop offset="1" stop-color="hsl({hue} 35% 85%)"/>'
        f'</radialGradient></defs><rect width="{WIDTH}" height="{HEIGHT}" fill="url(#backdrop)"/>'
        f'<ellipse cx="200" cy="258" rx="136" ry="14" fill="hsl({hue} 30% 40%)" opacity=".22"/>'
        f"{thing}</svg>"
    )


@cache
def _drawings() -> dict[int, str]:
    """Read the drawings, by the products' numbers."""
    sheet = Path(__file__).with_name("drawings.svg").read_text(encoding="utf-8")
    return {int(number): drawing.strip() for number, drawing in _DRAWING.findall(sheet)}


def _initials(title: str, hue: int) -> str:
    letters = "".join(word[0] for word in title.split()[:2]).upper()
    return (
        '<text x="200" y="190" font-family="sans-serif" font-size="110" text-anchor="middle"'
        f' fill="hsl({hue} 45% 30%)">{escape(letters)}</text>'
    )
