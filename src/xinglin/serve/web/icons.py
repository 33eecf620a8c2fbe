"""Our own small line drawings, inline: no icon font to wait for, nothing from outside."""

from __future__ import annotations


def _icon(shapes: str) -> str:
    return (
        '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{shapes}</svg>'
    )


SEND = _icon('<path d="M12 19V5"/><path d="m6 11 6-6 6 6"/>')
STOP = _icon('<rect x="7" y="7" width="10" height="10" rx="2" fill="currentColor" stroke="none"/>')
PLUS = _icon('<path d="M12 5v14M5 12h14"/>')
EXPAND = _icon('<path d="m7 11 5-5 5 5"/><path d="m7 17 5-5 5 5"/>')
CLOSE = _icon('<path d="M6 6l12 12M18 6 6 18"/>')
COPY = _icon('<rect x="9" y="9" width="11" height="11" rx="2.5"/><path d="M5 15V6a2 2 0 0 1 2-2h8"/>')
CHECK = _icon('<path d="m5 12.5 4.5 4.5L19 7.5"/>')
WARNING = _icon('<path d="M12 4 2.8 19.5h18.4L12 4z"/><path d="M12 10v4.5M12 17.2v.1"/>')
THEME = _icon('<circle cx="12" cy="12" r="8.2"/><path d="M12 3.8v16.4a8.2 8.2 0 0 0 0-16.4z" fill="currentColor"/>')

_PETAL = '<path d="M32 31C24 26 23 13 32 7c9 6 8 19 0 24z" fill="#f2a07b" transform="rotate({angle} 32 32)"/>'
LOGO = (
    '<svg class="logo" viewBox="0 0 64 64" xmlns="http://www.w3.org/2000/svg" aria-hidden="true">'
    '<rect width="64" height="64" rx="18" fill="#1f6f56"/>'
    + "".join(_PETAL.format(angle=angle) for angle in range(0, 360, 72))
    + '<circle cx="32" cy="32" r="5.5" fill="#fdf1df"/></svg>'
)
"""An apricot blossom: 杏林 is the apricot grove of the physician who took no other fee."""
