"""Positions in a SQL text as its author wrote it, also after it was rewritten."""

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
    """Positions in a text.

    Args:
        text: the text passed to SQLGlot or the engine.
        dialect: the SQLGlot dialect.
        written: positions of the author's text, if ``text`` was generated from it.
    """

    def __init__(self, text: str, *, dialect: str, written: TextPositions | None = None) -> None:
        self._text = text
        self._dialect = dialect
        self._written = written

    def rewritten(self, text: str, *, dialect: str) -> TextPositions:
        """Positions of an equivalent text, reported as positions in the author's text."""
        return TextPositions(text, dialect=dialect, written=self._written or self)

    @cached_property
    def tokens(self) -> Sequence[Token]:
        """The tokens of the text; empty if it can't be tokenized."""
        try:
            return tuple(Dialect.get_or_raise(self._dialect).tokenize(self._text))
        except SqlglotError:
            return ()

    @property
    def start(self) -> TextPosition:
        """The start of the author's text."""
        author = self._written or self
        return author.offset(author.tokens[0].start) if author.tokens else TextPosition(1, 1)

    def offset(self, offset: int) -> TextPosition:
        """The position of a character offset in this text."""
        before = self._text[:offset]
        return TextPosition(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)

    def ending(self, line: int | None, column: int | None) -> TextPosition:
        """The position of the token that ends at a line and column, as SQLGlot reports them."""
        found = [number for number, token in enumerate(self.tokens) if (token.line, token.col) == (line, column)]
        return self._place(found[0]) if found else self.start

    def holding(self, position: int) -> TextPosition:
        """The position of the token at a byte offset, as DuckDB reports it."""
        offset = len(self._text.encode()[:position].decode(errors="ignore"))
        found = [number for number, token in enumerate(self.tokens) if token.start <= offset]
        return self._place(found[-1]) if found else self.start

    def named(self, name: str, *, time: int = 1) -> TextPosition:
        """The position of a name's n-th occurrence in the author's text."""
        author = self._written or self
        found = [token for token in author.tokens if token.text.casefold() == name.casefold()]
        return author.offset(found[time - 1].start) if len(found) >= time else self.start

    def second_statement(self) -> TextPosition:
        """The position after the first semicolon; the start if nothing follows it."""
        semicolons = [number for number, token in enumerate(self.tokens) if token.text == ";"]
        after = self.tokens[semicolons[0] + 1 :] if semicolons else ()
        return self.offset(after[0].start) if after else self.start

    def _place(self, number: int) -> TextPosition:
        """The position of a token in the author's text, or of the nearest token before it that is in there."""
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
