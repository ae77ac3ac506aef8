import pytest

from relspec_core import RunReport
from relspec_core.errors import TaskFailedError

MIXED = RunReport(
    ran={"b": "its plan changed", "a": "'a' does not exist yet"},
    skipped={"c": "unchanged"},
    failed={"d": "no"},
    blocked={"e": "waits for 'd'"},
    seconds=1.25,
)


def test_a_report_prints_each_task_in_the_order_in_which_it_happened_and_a_total() -> None:
    assert str(MIXED).splitlines() == [
        "ran     b: its plan changed",
        "ran     a: 'a' does not exist yet",
        "skipped c: unchanged",
        "failed  d: no",
        "blocked e: waits for 'd'",
        "2 ran, 1 skipped, 1 failed, 1 blocked, in 1.2 s",
    ]


@pytest.mark.parametrize(
    ("report", "ok"),
    [
        (RunReport(), True),
        (RunReport(ran={"a": "new"}, skipped={"b": "unchanged"}), True),
        (RunReport(failed={"a": "no"}), False),
        (RunReport(blocked={"a": "waits"}), False),
    ],
)
def test_a_report_is_ok_when_nothing_failed_and_nothing_is_blocked(report: RunReport, *, ok: bool) -> None:
    assert report.ok is ok


def test_a_report_raises_with_every_reason_where_something_went_wrong() -> None:
    RunReport(ran={"a": "new"}).raise_if_failed()
    with pytest.raises(TaskFailedError) as caught:
        MIXED.raise_if_failed()
    assert "2 ran, 1 skipped, 1 failed, 1 blocked" in str(caught.value)
    assert "no; waits for 'd'" in str(caught.value)
