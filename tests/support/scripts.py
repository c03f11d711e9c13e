"""Scripts of the repository that are no package, as modules."""

import importlib.util
from pathlib import Path
from typing import Any


def load_script(path: Path) -> Any:
    """The module of a script, for instance ``docs/make_values.py``."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
