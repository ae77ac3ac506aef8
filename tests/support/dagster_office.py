"""Tasks over a file of orders, of which two readers read different columns, for the tests of automation."""

import ibis

from relspec_core import TaskBuildContext, task

ORDERS = "id,amount,note\n1,5,hot\n2,7,cold\n"


@task
def orders(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw").select("id", "amount")


@task
def totals(ctx: TaskBuildContext) -> ibis.Table:
    found = ctx.table("orders")
    return found.agg(total=found.amount.sum())


@task
def notes(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw").select("id", "note")
