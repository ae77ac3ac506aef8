"""Where things stand in a SQL text as its author wrote it, also when it has been written anew since."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from relspec_core.errors import TextPosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokens import Token


class TextPositions:
    """Places in a text.

    Args:
        text: what SQLGlot or the engine was given.
        dialect: SQLGlot's name of its dialect.
        written: the author's text, where ``text`` was made from it.
    """

    def __init__(self, text: str, *, dialect: str, written: TextPositions | None = None) -> None:
        self._text = text
        self._dialect = dialect
        self._written = written

    def rewritten(self, text: str, *, dialect: str) -> TextPositions:
        """Places of another text that says the same; told as places of the author's."""
        return TextPositions(text, dialect=dialect, written=self._written or self)

    @cached_property
    def tokens(self) -> Sequence[Token]:
        """The words and signs of the text; none where it can't be cut into them."""
        try:
            return tuple(Dialect.get_or_raise(self._dialect).tokenize(self._text))
        except SqlglotError:
            return ()

    @property
    def start(self) -> TextPosition:
        """Where the author's text begins."""
        author = self._written or self
        return author.offset(author.tokens[0].start) if author.tokens else TextPosition(1, 1)

    def offset(self, offset: int) -> TextPosition:
        """The place of a character of this very text."""
        before = self._text[:offset]
        return TextPosition(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)

    def ending(self, line: int | None, column: int | None) -> TextPosition:
        """The place of what SQLGlot says ends at a line and column, as its tokens and identifiers do."""
        found = [number for number, token in enumerate(self.tokens) if (token.line, token.col) == (line, column)]
        return self._place(found[0]) if found else self.start

    def holding(self, position: int) -> TextPosition:
        """The place of what stands at a position that is counted in bytes, as DuckDB does."""
        offset = len(self._text.encode()[:position].decode(errors="ignore"))
        found = [number for number, token in enumerate(self.tokens) if token.start <= offset]
        return self._place(found[-1]) if found else self.start

    def named(self, name: str, *, time: int = 1) -> TextPosition:
        """Where a name stands for the first time in the author's text, or for a later one."""
        author = self._written or self
        found = [token for token in author.tokens if token.text.casefold() == name.casefold()]
        return author.offset(found[time - 1].start) if len(found) >= time else self.start

    def second_statement(self) -> TextPosition:
        """What follows the first semicolon, where anything does."""
        semicolons = [number for number, token in enumerate(self.tokens) if token.text == ";"]
        after = self.tokens[semicolons[0] + 1 :] if semicolons else ()
        return self.offset(after[0].start) if after else self.start

    def _place(self, number: int) -> TextPosition:
        """The author's place of a token; of the nearest one before it where the author did not write that."""
        if self._written is None:
            return self.offset(self.tokens[number].start)
        own, theirs = _by_word(self.tokens), _by_word(self._written.tokens)
        for earlier in range(number, -1, -1):
            word = self.tokens[earlier].text.casefold()
            places = theirs.get(word, [])
            if len(places) == len(own[word]):
                return self._written.offset(self._written.tokens[places[own[word].index(earlier)]].start)
            if len(places) == 1:
                return self._written.offset(self._written.tokens[places[0]].start)
        return self.start


def _by_word(tokens: Sequence[Token]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, token in enumerate(tokens):
        found.setdefault(token.text.casefold(), []).append(number)
    return found
