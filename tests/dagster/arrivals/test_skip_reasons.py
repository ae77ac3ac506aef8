"""The wording of what the evidence sensor reports where it requests nothing; other tests assert codes."""

from relspec_core.errors import SourceError
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, WaitsForTask
from relspec_dagster.arrivals.held_reasons import AlreadyRequested, RunInProgress, UnknownContents, WaitsForHeldTask
from relspec_dagster.arrivals.skip_reasons import waiting_text
from tests.support.message_snapshots import MessageSnapshots


def test_the_wording_of_skip_reasons(message_snapshots: MessageSnapshots) -> None:
    missing = {name: (MissingEvidence(task=name, evidence="orders"),) for name in ("revenue", "totals")}
    column = {"notes": (MissingColumn(task="notes", evidence="orders", column="note", columns=("amount",)),)}
    after = {"report": (WaitsForTask(task="report", evidence="notes", producer="notes", cause=column["notes"][0]),)}
    error = SourceError("source 'orders' can't be read: no permission", at="orders.csv", hint="fix the file.")
    held = {
        "in a run": RunInProgress(run="0123456789abcdef"),
        "requested": AlreadyRequested(),
        "after a held task": WaitsForHeldTask(task="requested"),
        "unknown": UnknownContents(evidence="prices"),
    }
    message_snapshots(
        "dagster_skip_reasons",
        {
            "a source that does not exist": waiting_text(missing, {}, {}),
            "a missing column, and a task after it": waiting_text({**column, **after}, {}, {}),
            "a source that can't be read": waiting_text(missing, {}, {"orders": error}),
            "stale tasks that are held": waiting_text({}, held, {}),
        },
    )
