"""The example's task catalog: every source and task that its modules define."""

from examples.jaffle_shop import marts, sources, staging
from relspec_core import TaskCatalog

catalog = TaskCatalog.from_modules(sources, staging, marts)
