"""What pictures have in common. Imports matplotlib, and that only when a picture is asked for."""

import io
from collections.abc import Iterable
from typing import Any

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"]  # Okabe and Ito's
MARKS = ["o", "s", "^", "D", "v", "P", "X", "*"]  # so that colours are not needed


def figure(width: float, height: float, dpi: float = 150, layout: Any = "constrained") -> Any:
    """Returns an empty picture, of inches, that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(made)
    return made


def png(made: Any) -> bytes:
    """Returns a picture as the content of a PNG file, the same on every day."""
    content = io.BytesIO()
    made.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def fonts_for(texts: Iterable[str]) -> tuple[list[str], set[str]]:
    """Returns (families of fonts, matplotlib's own first, that have the characters of texts; characters that none here has)."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    missing = {ord(character) for text in texts for character in text if not character.isspace()}
    usual = font_manager.findfont("DejaVu Sans")
    families = ["DejaVu Sans"]
    missing -= set(FT2Font(usual).get_charmap())
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.style != "normal", font.name)):
        if not missing:
            break
        if font.name in families or "Last Resort" in font.name:  # which has a box for every character
            continue
        found = missing & set(FT2Font(font.fname).get_charmap())
        if found:
            families.append(font.name)
            missing -= found
    return families, {chr(code) for code in missing}
