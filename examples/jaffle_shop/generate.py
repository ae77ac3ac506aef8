"""Generate the example's raw data with jafgen: ``python -m examples.jaffle_shop.generate``.

One simulated year of the Jaffle Shop, about 25 MB of CSV in about half a minute. jafgen draws new customers, orders
and ids each time and takes no seed, so two machines have different figures.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from examples.jaffle_shop.settings import RAW_TABLES, data_folder, missing_files

RUN_JAFGEN = "from jafgen.cli import app; app()"


def generate(folder: Path) -> bool:
    """Whether new data was generated in ``folder``; in either case all seven raw files exist afterwards.

    jafgen runs in a temporary folder beside ``folder`` that is renamed into place when it is complete: an interrupted
    run leaves nothing incomplete, and of two simultaneous runs the first to finish wins.

    Raises:
        SystemExit: jafgen is missing or fails, or ``folder`` holds something else.
    """
    missing = missing_files(folder)
    if not missing:
        return False
    if folder.exists() and any(folder.iterdir()):
        sys.exit(
            f"{folder} is not complete: it lacks {', '.join(missing)}.\n"
            "The raw files belong together (their ids are random): remove the folder and run this again."
        )
    if importlib.util.find_spec("jafgen") is None:
        sys.exit(
            "The package jafgen makes the data, and it is not installed here.\n"
            "Run 'make setup' in the checkout, or: python -m pip install jafgen"
        )

    print(f"Generating one year of Jaffle Shop data in {folder}; this takes about half a minute.", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as workshop:
        jafgen = subprocess.run([sys.executable, "-c", RUN_JAFGEN, "1"], cwd=workshop, check=False)
        fresh = Path(workshop) / "jaffle-data"
        if jafgen.returncode != 0 or missing_files(fresh):
            sys.exit(f"jafgen ended with code {jafgen.returncode} and without all seven raw files; see above.")
        return _move_into_place(fresh, folder)


def _move_into_place(fresh: Path, folder: Path) -> bool:
    """Whether ``fresh`` became ``folder``: not if another run created it meanwhile."""
    try:
        fresh.replace(folder)
    except OSError:
        if missing_files(folder):
            raise
        return False
    return True


def main() -> None:
    """Generate the data if it is absent, and report what happened."""
    folder = data_folder()
    try:
        made = generate(folder)
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing was left behind.")
    print(f"{'Generated' if made else 'Nothing to generate:'} {len(RAW_TABLES)} raw tables in {folder}.")


if __name__ == "__main__":
    main()
