"""Tools that build the same models from the shell: relspec, SQLMesh and dbt."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import duckdb

from benchmarks.rivals import ROOT, RivalFailed, installed
from benchmarks.shop import Model, Models, write_raw_tables

PLACE = ROOT / "build" / "rebuild"
DATABASE = "shop.duckdb"
# All with the same DuckDB. From 1.12 on, dbt-core is built from downloads outside the package index.
ENGINE = f"duckdb=={duckdb.__version__}"
SQLMESH, DBT = ("sqlmesh==0.236.4", ENGINE), ("dbt-core==1.10.23", "dbt-duckdb==1.11.1", ENGINE)
RAN = re.compile(r"^(\d+) ran", re.MULTILINE)


def shell(
    command: Sequence[str | Path], *, folder: Path, settings: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """The duration in seconds and the output of a command.

    Raises:
        RivalFailed: if it ends with an error.
    """
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - the tools
        command, cwd=folder, env={**os.environ, **(settings or {})}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RivalFailed(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


def relspec(*arguments: str, folder: Path) -> tuple[float, str]:
    """This checkout's ``relspec`` command."""
    program = Path(sys.executable).parent / "relspec"
    return shell([program, *arguments], folder=folder, settings={"PYTHONPATH": str(ROOT)})


class BuildingTool(Protocol):
    """A tool with a project of its own."""

    name: str
    folder: Path

    def write(self, model: Model) -> None:
        """Write the file of a model."""

    def build(self) -> tuple[float, int]:
        """Bring all tables up to date: the seconds it takes, and the number of tables and views that it creates."""
        ...


def set_up(tool: BuildingTool, models: Models) -> None:
    """Recreate the tool's project, with the raw tables and these models."""
    shutil.rmtree(tool.folder, ignore_errors=True)
    (tool.folder / "models").mkdir(parents=True)
    write_raw_tables(tool.folder / DATABASE)
    for model in models.values():
        tool.write(model)


class Relspec:
    """relspec, with a folder of SQL files as its catalog."""

    name = "relspec"
    folder = PLACE / "relspec"

    def write(self, model: Model) -> None:
        """A file with a header."""
        header = f"/* ---\nkind: {model.kind}\n--- */\n"
        (self.folder / "models" / f"{model.name}.sql").write_text(header + model.text())

    def build(self) -> tuple[float, int]:
        """``relspec run``."""
        seconds, said = relspec("run", "--catalog", "./models", "--database", DATABASE, folder=self.folder)
        counted = RAN.search(said)
        if counted is None:
            raise RivalFailed(f"relspec does not say how many tasks ran: {said}")
        return seconds, int(counted[1])


class SqlMesh:
    """SQLMesh; ``plan`` builds what changed and what depends on it."""

    name = "SQLMesh"
    folder = PLACE / "sqlmesh"
    settings: Mapping[str, str] = {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "1"}

    def __init__(self) -> None:
        self.program = installed(*SQLMESH).parent / "sqlmesh"

    def write(self, model: Model) -> None:
        """A file with SQLMesh's own header; the project's settings too."""
        (self.folder / "config.yaml").write_text(
            f"gateways: {{shop: {{connection: {{type: duckdb, database: {DATABASE}}}}}}}\n"
            "default_gateway: shop\n"
            "model_defaults: {dialect: duckdb, start: 2020-01-01}\n"
        )
        kind = {"table": "FULL", "view": "VIEW"}[model.kind]
        text = f"MODEL (name main.{model.name}, kind {kind});\n\n{model.text('main.{}'.format)}"
        (self.folder / "models" / f"{model.name}.sql").write_text(text)

    def build(self) -> tuple[float, int]:
        """``sqlmesh plan``; a rebuilt model has a new physical table."""
        before = self._made()
        seconds, _ = self.plan("--auto-apply")
        return seconds, len(self._made() - before)

    def plan(self, *options: str) -> tuple[float, str]:
        """``sqlmesh plan``, without prompts."""
        command = [self.program, "plan", "--no-prompts", *options]
        return shell(command, folder=self.folder, settings=self.settings)

    def _made(self) -> set[str]:
        with duckdb.connect(self.folder / DATABASE, read_only=True) as connection:
            rows = connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'sqlmesh__main'"
            ).fetchall()
        return {name for (name,) in rows}


class Dbt:
    """dbt, building what was modified since the last time and what depends on it."""

    name = "dbt"
    folder = PLACE / "dbt"
    settings: Mapping[str, str] = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_PROFILES_DIR": "."}

    def __init__(self) -> None:
        self.program = installed(*DBT).parent / "dbt"

    def write(self, model: Model) -> None:
        """A file with references in place of names; the project's settings too."""
        (self.folder / "dbt_project.yml").write_text(
            "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\nmodels: {+materialized: table}\n"
        )
        (self.folder / "profiles.yml").write_text(
            f"shop: {{target: dev, outputs: {{dev: {{type: duckdb, path: {DATABASE}, threads: 1}}}}}}\n"
        )
        header = "{{ config(materialized='view') }}\n" if model.kind == "view" else ""
        text = model.text(lambda name: f"{{{{ ref('{name}') }}}}")
        (self.folder / "models" / f"{model.name}.sql").write_text(header + text)

    def build(self) -> tuple[float, int]:
        """``dbt run --select state:modified+``; the first time, all."""
        target, state = self.folder / "target", self.folder / "state"
        changed = ["--select", "state:modified+", "--state", "state"] if state.exists() else []
        results = target / "run_results.json"
        results.unlink(missing_ok=True)
        seconds, _ = shell([self.program, "run", *changed], folder=self.folder, settings=self.settings)
        state.mkdir(exist_ok=True)
        shutil.copy(target / "manifest.json", state)
        return seconds, len(json.loads(results.read_text())["results"]) if results.exists() else 0
