"""How often a model is right where it is so sure, as a figure: a reliability curve as SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.wording import count_noun, inflect

_SIDE, _LEFT, _TOP, _BELOW = 320, 56, 16, 72  # pixels: of the square, and around it
_SHARES = 48  # pixels of the strip with how many examples there are
_FEW = 10  # examples: their point is hollow, and the curve passes it by
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def draw(points: Sequence[Mapping[str, Any]], example: str = "example") -> str:
    """Draws a reliability curve: accuracy by confidence, and below how many examples that are.

    Args:
        points: `reliability` by `details.of_classes`.
        example: what one is called.
    """
    most = max((each["n"] for each in points), default=1)
    width, height = _LEFT + _SIDE + 24, _TOP + _SIDE + _SHARES + _BELOW
    floor = _TOP + _SIDE + 8 + _SHARES
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12" '
        'fill="#24292f" role="img">',
        "<title>Reliability: accuracy by confidence on the test set</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for tick in _TICKS:
        x, y = _x(tick), _y(tick)
        parts += [
            f'<path d="M{_LEFT} {y}H{_LEFT + _SIDE}M{x} {_TOP}V{_TOP + _SIDE}" '
            'stroke="#e4e7eb" fill="none"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.1f}</text>',
            f'<text x="{x}" y="{floor + 16}" text-anchor="middle">{tick:.1f}</text>',
        ]
    parts.append(
        f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#8c959f" stroke-dasharray="5 4"/>'
    )
    for each in points:
        left, right = _x(each["low"]) + 1, _x(each["high"]) - 1
        size = _SHARES * each["n"] / most
        said = (
            f"{count_noun(each['n'], example)}: confidence {each['confidence']:.3f}, "
            f"accuracy {each['accuracy']:.3f}"
        )
        parts.append(
            f'<rect x="{left:.1f}" y="{floor - size:.1f}" width="{right - left:.1f}" '
            f'height="{size:.1f}" fill="#9ec5e8"><title>{said}</title></rect>'
        )
    many = [each for each in points if each["n"] >= _FEW]
    line = "L".join(f"{_x(each['confidence'])} {_y(each['accuracy'])}" for each in many)
    if many:
        parts.append(f'<path d="M{line}" stroke="#0b5cad" stroke-width="2" fill="none"/>')
    parts += [
        f'<circle cx="{_x(each["confidence"])}" cy="{_y(each["accuracy"])}" r="4" '
        f'stroke="#0b5cad" fill="{"#0b5cad" if each["n"] >= _FEW else "white"}"/>'
        for each in points
    ]
    middle = _LEFT + _SIDE / 2
    parts += [
        f'<text x="{middle}" y="{floor + 36}" text-anchor="middle">confidence of the answer; '
        f"bars: {inflect(example, 2)}, at most {most:,}</text>",
        f'<text transform="translate(16 {_TOP + _SIDE / 2}) rotate(-90)" '
        'text-anchor="middle">share that is right</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(confidence: float) -> float:
    return round(_LEFT + _SIDE * confidence, 1)


def _y(accuracy: float) -> float:
    return round(_TOP + _SIDE * (1 - accuracy), 1)
