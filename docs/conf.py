"""The settings of Sphinx."""

import configparser
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_setup = configparser.ConfigParser()
_setup.read(ROOT / "setup.cfg")

project = "twisted_gun"
author = "the twisted_gun authors"
copyright = "2026, the twisted_gun authors"  # noqa: A001, Sphinx's name
version = release = _setup["metadata"]["version"]

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
# In docstrings `name` is a name of the program.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"HeadersLike": "HeadersLike"}
# Names of types that are imported for types only are not resolved, and `Response` and `Options` are in `twisted_gun.websocket` as well.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"twisted_gun {release}"
html_static_path = ["_static"]
html_css_files = ["code.css"]
