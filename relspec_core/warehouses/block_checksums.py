"""What a DuckDB file holds of a table, compressed as it is: that is quicker to look at than its rows.

A table is as it was where its segments lie in the same blocks, and these hold the same bytes. DuckDB's own checksum of
a block would not do alone: it is the same whatever the order of the block's words, and equal words can cancel each
other out. Together with another one that goes by order it does, in a third of the time of a cryptographic hash.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from relspec_core.model.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


DESCRIPTORS = "/dev/fd"
HEADERS = 3 * 4096  # bytes before the first block
CHECKSUM = 8  # bytes, at the start of a block
ROW_GROUP = 122_880
MOST_LOOKED_AT = 4  # row groups that a checkpoint may make into fewer
WITHOUT_BLOCKS = frozenset({"Constant", "Empty Validity"})  # statistics are all that there is of such a segment
VALIDITY = "[0, 0]"  # of the first column: each row group has it, a bit for each row
SEGMENTS = (
    "SELECT row_group_id, column_path, column_name, segment_type, segment_id, start, count, compression, "
    "persistent AND NOT has_updates, block_id, block_offset, additional_block_ids, stats FROM pragma_storage_info({}) "
    "ORDER BY row_group_id, column_path, segment_id"
)


@dataclass(frozen=True, slots=True)
class _Segment:
    """Some rows of a column, in one place; the fields are those of ``SEGMENTS``."""

    group: int
    path: str
    column: str
    type: str
    number: int
    start: int
    count: int
    compression: str
    is_settled: bool
    block: int
    offset: int
    more_blocks: list[int] | None
    statistics: str

    @property
    def is_told(self) -> bool:
        """Whether ``token`` and the contents of its blocks say all that there is of it."""
        return self.is_settled and (self.block >= 0 or self.compression in WITHOUT_BLOCKS)

    @property
    def blocks(self) -> list[int]:
        return [block for block in (self.block, *(self.more_blocks or ())) if block >= 0]

    @property
    def token(self) -> tuple[str, ...]:
        place = (self.group, self.path, self.column, self.type, self.number, self.start, self.count, self.compression)
        return (*map(str, place), str(self.offset), str(self.blocks), "" if self.block >= 0 else self.statistics)


def can_be_told() -> bool:
    """Whether ``stored_table`` works on this system."""
    return os.path.isdir(DESCRIPTORS) and hasattr(os, "pread")  # noqa: PTH112 - it is no place in a file system


def stored_table(segments: Iterable[Sequence[Any]], *, count: int, path: str, block_size: int) -> str | None:
    """A digest that is another one after each change of a table's rows; also after one that was undone.

    Args:
        segments: what ``SEGMENTS`` gives for the table.
        count: the number of its rows. What was deleted is still in the segments.
        path: of the database's file, which this process has open.
        block_size: of that file, in bytes.

    Returns:
        None where it can't be told: not all is in the file yet, or the next checkpoint may move it.
    """
    found = [_Segment(*row) for row in segments]
    rows = Counter[int]()
    for segment in found:
        rows[segment.group] += segment.count if segment.path == VALIDITY else 0
    groups = [rows[group] for group in sorted(rows)]
    if not all(segment.is_told for segment in found) or sum(groups) != count or _may_be_merged(groups):
        return None
    sums = _sums(path, sorted({block for segment in found for block in segment.blocks}), block_size)
    return None if sums is None else digest((str(count), tuple(segment.token for segment in found), sums))


def _may_be_merged(groups: Sequence[int]) -> bool:
    """Whether the rows of some neighbouring row groups fit into fewer: a checkpoint makes that of them."""
    full = max(ROW_GROUP, *groups, 0)
    return any(
        sum(groups[start : start + number]) <= (number - 1) * full
        for number in range(2, MOST_LOOKED_AT + 1)
        for start in range(len(groups) - number + 1)
    )


def _sums(path: str, blocks: Iterable[int], block_size: int) -> tuple[str, ...] | None:
    """Of each of these blocks DuckDB's checksum and one that goes by order; None where the file can't be read.

    Read through the descriptor that DuckDB has: to close another one of the same file would end DuckDB's lock on it.
    """
    found: list[str] = []
    try:
        descriptor = _descriptor(path)
        for block in blocks:
            held = os.pread(descriptor, block_size, HEADERS + block * block_size)
            if len(held) != block_size:
                return None
            found.append(f"{held[:CHECKSUM].hex()} {crc32(held)}")
    except OSError:
        return None
    return tuple(found)


def _descriptor(path: str) -> int:
    wanted = os.stat(path)  # noqa: PTH116 - beside fstat
    for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - numbers, no paths
        try:
            found = os.fstat(int(name))
        except OSError:
            continue  # of the listing itself, or closed since
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return int(name)
    raise FileNotFoundError(path)
