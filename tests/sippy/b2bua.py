"""Sippy B2BUA as it is installed, with an option for the place of its RADIUS helper, which it has in its code alone."""

from sippy.MyConfigParser import SUPPORTED_OPTIONS

SUPPORTED_OPTIONS["radiusclient"] = ("S", "path to the RADIUS helper")

from sippy.b2bua import main_func  # noqa: E402 (what it reads must be there first)

main_func()
