"""Where the package lies: the one baseline of every path that depends on it."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
MODULES = PACKAGE / "modules"
SUITES = PACKAGE / "suites"
