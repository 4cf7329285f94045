"""Draw the diagrams of the documentation: `draw.py path/to/mermaid.min.js`. Needs Chromium, and the package mermaid from npm.

Pages hold diagrams as text (```mermaid), which is what people edit and what code forges draw by themselves. The site shows the drawings
that this script leaves in docs/_static/drawn, by the hash of their text; one that was changed since shows as text until it is drawn anew.
"""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
DRAWN = DOCS / "_static/drawn"
BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGE = """<!doctype html><meta charset="utf-8"><body><pre id="text">{text}</pre><div id="drawn"></div><script src="{script}"></script>
<script>
mermaid.initialize({{startOnLoad: false, theme: "neutral", htmlLabels: false, flowchart: {{htmlLabels: false}}, deterministicIds: true}});
mermaid.render("d{name}", document.getElementById("text").textContent).then(({{svg}}) => {{
  document.getElementById("drawn").innerHTML = svg;
}});
</script>"""


def name_of(text: str) -> str:
    """The name of a drawing follows from its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def texts() -> dict[str, str]:
    """Every diagram of the pages by the name of its drawing."""
    found = (text for page in sorted(DOCS.rglob("*.md")) for text in BLOCK.findall(page.read_text("utf-8")))
    return {name_of(text): text for text in found}


def draw(name: str, text: str, script: Path) -> str:
    """The drawing as SVG; SystemExit when the text cannot be drawn."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(PAGE.format(text=html.escape(text), script=script.as_uri(), name=name), "utf-8")
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or "google-chrome"
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )  # fmt: skip
    svg = re.search(rf'<svg[^>]*id="d{name}".*?</svg>', done.stdout, re.DOTALL)
    if svg is None:
        sys.exit(f"This cannot be drawn:\n{text}")
    width = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', svg[0])
    size = f'width="{width[1]}" height="{width[2]}" ' if width else ""
    return re.sub(r'(<svg[^>]*?) width="100%"', rf"\1 {size}", svg[0]).replace("<br>", "<br/>") + "\n"


def main(script: str) -> None:
    DRAWN.mkdir(parents=True, exist_ok=True)
    wanted = texts()
    for name, text in wanted.items():
        target = DRAWN / f"{name}.svg"
        if not target.exists():
            target.write_text(draw(name, text, Path(script).resolve()), "utf-8")
    for path in DRAWN.glob("*.svg"):
        if path.stem not in wanted:
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1])
