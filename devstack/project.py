"""The folder of the project. Loads on old versions of Python too."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
