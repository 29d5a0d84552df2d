"""``python -m benchmarks.plot RESULT.json PICTURE.svg``: what ``python -m benchmarks --json RESULT.json`` has measured, as bars."""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["picture"]

_WIDTH, _LEFT, _RIGHT, _BAR, _HEAD = 760, 130, 96, 18, 46
_OURS, _OTHERS, _INK = "#2a6db0", "#b9b9b9", "#333333"


def picture(measured: dict[str, Any]) -> str:
    """An SVG with a group of bars for each scenario: medians per second of the client's CPU time, the fastest first."""
    top, parts = 8, []
    for name, scenario in measured["scenarios"].items():
        group, height = _group(name, scenario, top)
        parts.append(group)
        top += height
    facts = measured["facts"]
    about = f"medians of {facts['rounds']} rounds per second of CPU time of the client; {facts['python']}, {facts['server']}"
    parts.append(_text(8, top + 12, about, size=11))
    body = "\n".join(parts)
    size = f'width="{_WIDTH}" height="{top + 24}" viewBox="0 0 {_WIDTH} {top + 24}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'


def _group(name: str, scenario: dict[str, Any], top: int) -> tuple[str, int]:
    """The bars of one scenario, and how high they are together."""
    clients = sorted(scenario["clients"].items(), key=lambda item: -item[1]["per_cpu_second"])
    most = clients[0][1]["per_cpu_second"] if clients else 1
    lines = [
        _text(8, top + 16, f"{name}: {scenario['title']}", bold=True),
        _text(8, top + 32, f"{scenario['unit']} per CPU second", size=11),
    ]
    for at, (client, rates) in enumerate(clients):
        y, rate = top + _HEAD + at * _BAR, rates["per_cpu_second"]
        width = max(1, round((_WIDTH - _LEFT - _RIGHT) * rate / most))
        colour = _OURS if client.startswith("gun") else _OTHERS
        lines.append(f'<rect x="{_LEFT}" y="{y - 10}" width="{width}" height="{_BAR - 5}" fill="{colour}"/>')
        lines.append(_text(_LEFT - 8, y, client, end=True))
        lines.append(_text(_LEFT + width + 6, y, f"{rate:,.0f}"))
    return "\n".join(lines), _HEAD + len(clients) * _BAR + 14


def _text(x: int, y: int, text: str, *, size: int = 12, bold: bool = False, end: bool = False) -> str:
    more = (' font-weight="bold"' if bold else "") + (' text-anchor="end"' if end else "")
    return f'<text x="{x}" y="{y}" fill="{_INK}" font-family="sans-serif" font-size="{size}"{more}>{escape(text)}</text>'


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot")
    parser.add_argument("result", type=Path, help="what python -m benchmarks --json has written")
    parser.add_argument("picture", type=Path, help="the SVG to write")
    given = parser.parse_args()
    given.picture.write_text(picture(json.loads(given.result.read_text())))


if __name__ == "__main__":
    main()
