"""The folder of the package: every path that depends on it starts here."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
MODULES = PACKAGE / "modules"
SUITES = PACKAGE / "suites"
