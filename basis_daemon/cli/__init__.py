"""The command line. Each command group is a file of this package; `app` puts them together."""

from basis_daemon.cli.app import app, main

__all__ = ["app", "main"]
