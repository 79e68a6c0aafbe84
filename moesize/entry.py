"""Where the console script starts: before anything is imported, so that start-up is not interrupted by collections."""

import gc
import sys


def run() -> None:
    """Run the command line and exit with its status.

    One answer is a short life: what it makes it keeps. A tenth of a small command's time went into looking for garbage
    while the libraries were imported; commands that live long turn the collector on again.
    """
    gc.disable()
    from moesize.cli.main import main  # noqa: PLC0415  imported with the collector off

    sys.exit(main())
