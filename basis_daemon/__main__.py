"""``python -m basis_daemon`` is the same command as ``basis-daemon``."""

from basis_daemon.cli import main

if __name__ == "__main__":
    main()
