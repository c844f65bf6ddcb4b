"""Pictures of products: a coloured tile with a few shapes, the same one for the same product."""

from html import escape
from random import Random

SIZE = 400
_SHAPES = 5


def draw(*, number: int, title: str) -> str:
    """Draw the tile of one product as SVG."""
    random = Random(number)
    hue = number * 137 % 360
    shapes = "".join(_shape(random, hue) for _ in range(_SHAPES))
    initials = "".join(word[0] for word in title.split()[:2]).upper()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" role="img">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{SIZE}" height="{SIZE}" fill="hsl({hue} 45% 88%)"/>{shapes}'
        f'<text x="200" y="235" font-family="sans-serif" font-size="110" text-anchor="middle"'
        f' fill="hsl({hue} 55% 25%)">{escape(initials)}</text></svg>'
    )


def _shape(random: Random, hue: int) -> str:
    x, y, radius = random.randrange(SIZE), random.randrange(SIZE), random.randrange(40, 120)
    turned = (hue + random.randrange(-40, 40)) % 360
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="hsl({turned} 55% 70%)" opacity=".5"/>'
