"""A step's command line for the shell: what the shell reads is the component's own text, what users give travels beside it.

Every ``${{inputs.x}}`` becomes a reference to an environment variable that holds the value. A shell does not read what a
variable holds as commands, whatever quotes, dollars or semicolons are in it - with one exception, arithmetic, where only numbers
are let in. The quotes around an expression decide nothing about safety; they are followed so that a value stays one argument.

What a command hands to another interpreter by its own will (``eval``, ``sh -c``, ``python -c``) is that command's affair.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.storage.uris import shown

Kind = Literal["text", "number", "absent"]
"""What is known of an input: any text (a path, too), a number or truth value, or that it is optional and not given."""

_EXPRESSION = re.compile(r"\$\{\{\s*(inputs|outputs)\.([A-Za-z0-9_]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_HERE_DOCUMENT = re.compile(r"<<(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s;&|<>()'\"\\`$])+)")
_SUBSCRIPT = re.compile(r"(?:^|[\s;|&(])[A-Za-z_]\w*\[[^\]\s]*\Z")
_EVALUATED = re.compile(
    r"(?:^|[;|&(\n]|\b(?:if|elif|then|else|while|until|do|!)\s)\s*"
    r"(?:let\s[^;|&\n]*|(?:test|\[|printf)\s(?:[^;|&\n]*\s)?-v\s+[\"']?)\Z"
)
"""What stands before an argument that bash reads as arithmetic, or as a name with a subscript."""
_CONDITION = re.compile(r"\[\[\s.*?\s\]\]", re.DOTALL)
_COUNTING = re.compile(r"(?:^|\s)-(?:eq|ne|lt|le|gt|ge|v|R)\s")


def variable(group: str, name: str) -> str:
    """Return the environment variable of an input or output.

    :param group: ``inputs`` or ``outputs``.
    """
    return f"BATCH_ENDPOINTS_{'INPUT' if group == 'inputs' else 'OUTPUT'}_{name}"


def as_text(value: bool | int | float | str) -> str:
    """Return a literal as a command sees it: truth values are ``True`` and ``False``, as Azure ML writes them."""
    return str(value)


def for_shell(command: str, inputs: Mapping[str, Kind], outputs: Collection[str]) -> str:
    """Return the text that a shell is to read.

    :param command: as the component has it.
    :param inputs: what is known of each input.
    :param outputs: names of the outputs.
    :raises UserError: it names what there is not, or an expression stands where a value could be read as code.
    """
    names = _Names(inputs, outputs)
    return _Scanner(_without_absent(command, names), names).scan()


def arguments(text: str, inputs: Mapping[str, Kind], outputs: Collection[str]) -> tuple[str, ...]:
    """Return the arguments of a scoring script, cut as a shell would cut them, with their expressions still in them.

    :raises UserError: it names what there is not, or quotes do not end.
    """
    names = _Names(inputs, outputs)
    text = _EXPRESSION.sub(lambda match: names.checked(match) and f"${{{{{match[1]}.{match[2]}}}}}", text)
    try:
        return tuple(shlex.split(_without_absent(text, names)))
    except ValueError as error:
        raise UserError(f"the arguments {shown(text)} cannot be cut: {error}; close every quote") from None


def named(group: str, texts: Iterable[str]) -> set[str]:
    """Return the names of a group that texts have expressions for."""
    return {match[2] for text in texts for match in _EXPRESSION.finditer(text) if match[1] == group}


def fill(argument: str, values: Mapping[str, str]) -> str:
    """Return an argument with the values put where the expressions stand, in one pass: what is in a value stays as it is.

    :param values: by ``inputs.x`` and ``outputs.y``.
    """
    return _EXPRESSION.sub(lambda match: values[f"{match[1]}.{match[2]}"], argument)


class _Names:
    """What expressions may name."""

    def __init__(self, inputs: Mapping[str, Kind], outputs: Collection[str]) -> None:
        self._inputs = inputs
        self._outputs = outputs

    def kind(self, match: re.Match[str]) -> Kind:
        """Return what an expression stands for. :raises UserError: nothing."""
        group, name = match.groups()
        if group == "outputs" and name in self._outputs:
            return "text"
        if group == "inputs" and name in self._inputs:
            return self._inputs[name]
        known = ", ".join(sorted(self._inputs if group == "inputs" else self._outputs)) or "none"
        raise UserError(
            f"the command names {match[0]}, and its component has no such thing in {group}; there is: {known}"
        )

    def checked(self, match: re.Match[str]) -> str:
        """Return an expression that stands for something that is, or may be, given."""
        self.kind(match)
        return match[0]


def _without_absent(command: str, names: _Names) -> str:
    """Resolve the optional parts: one that names an input which is not given vanishes."""

    def part(match: re.Match[str]) -> str:
        content = match[1]
        is_absent = any(names.kind(expression) == "absent" for expression in _EXPRESSION.finditer(content))
        return "" if is_absent else content

    return _OPTIONAL.sub(part, command)


class _Scanner:
    """Goes through a command once, following quotes as the shell does."""

    def __init__(self, text: str, names: _Names, *, base: str = "plain") -> None:
        self._text = text
        self._names = names
        self._at = 0
        self._out: list[str] = []
        self._contexts = [base]
        """``plain`` or ``(`` (commands), ``double`` or ``here`` (text in which variables are replaced)."""
        self._bodies: list[tuple[str, bool, bool]] = []
        """Here-documents that begin at the next line: delimiter, whether tabs are stripped, whether it is quoted."""

    def scan(self) -> str:
        while self._at < len(self._text):
            if self._text.startswith("${{", self._at):
                self._expression()
            elif self._contexts[-1] in ("double", "here"):
                self._in_text()
            else:
                self._in_commands()
        return "".join(self._out)

    # -- moving on ----------------------------------------------------------------------------------------------------

    def _take(self, count: int = 1) -> str:
        taken = self._text[self._at : self._at + count]
        self._out.append(taken)
        self._at += len(taken)
        return taken

    def _take_to(self, end: int, where: str | None) -> None:
        """Copy a stretch in which no expression may stand, or (``where`` is ``None``) in which it is not looked for."""
        stretch = self._text[self._at : end]
        if where is not None and (match := re.search(r"\$\{\{.*?\}\}|\$\{\{", stretch)):
            raise UserError(
                f"the command has {shown(match[0])} {where}, where a value could be read as code or not at all; give it to a "
                "variable of the shell first, such as: value=${{inputs.x}}"
            )
        self._take(len(stretch))

    def _starts(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _is_word_start(self) -> bool:
        return self._at == 0 or self._text[self._at - 1] in " \t\n;&|("

    # -- expressions --------------------------------------------------------------------------------------------------

    def _expression(self) -> None:
        reference = self._reference(self._match())
        self._out.append(reference if self._contexts[-1] in ("double", "here") else f'"{reference}"')

    def _match(self) -> re.Match[str]:
        match = _EXPRESSION.match(self._text, self._at)
        if match is None:
            found = self._text[self._at :].partition("}}")[0] + "}}"
            raise UserError(
                f"the command has {shown(found)}; expected ${{{{inputs.<name>}}}} or ${{{{outputs.<name>}}}}"
            )
        self._at = match.end()
        return match

    def _reference(self, match: re.Match[str]) -> str:
        if self._names.kind(match) == "absent":
            raise UserError(
                f"the command needs {match[0]}, an optional input that is not given; put what names it into $[[ ]], or give it"
            )
        before = self._text[: match.start()]
        is_read = self._contexts[0] != "here" and (_SUBSCRIPT.search(before) or _EVALUATED.search(before))
        if is_read and self._names.kind(match) != "number":
            raise UserError(
                f"the command has {match[0]} where bash reads arithmetic (a subscript, let, -v); only numbers and truth values may "
                "stand there"
            )
        return f"${{{variable(match[1], match[2])}}}"

    # -- contexts -----------------------------------------------------------------------------------------------------

    def _in_text(self) -> None:
        if self._starts("\\"):
            self._take(2)
        elif self._starts('"') and self._contexts[-1] == "double":
            self._take()
            self._contexts.pop()
        else:
            self._substitution()

    def _in_commands(self) -> None:
        special: dict[str, Callable[[], object]] = {
            "\\": lambda: self._take(2),
            "'": self._single_quotes,
            '"': lambda: self._open("double", 1),
            "#": self._comment,
            "\n": self._line_end,
            ")": self._close_parenthesis,
            "<": self._redirection,
            "(": self._open_parenthesis,
            "[": self._condition,
        }
        special.get(self._text[self._at], self._substitution)()

    def _substitution(self) -> None:
        """Take what begins with a dollar or is between backticks, or any other character."""
        if self._starts("$((") or self._starts("$["):
            self._arithmetic(2 if self._starts("$[") else 3)
        elif self._starts("$("):
            self._open("(", 2)
        elif self._starts("${"):
            self._take_to(self._balanced("{", "}", self._at + 1), "inside ${ }")
        elif self._starts("$'") and self._contexts[-1] in ("plain", "("):
            self._take_to(self._unescaped("'", self._at + 2), "inside $' '")
        elif self._starts("`"):
            self._take_to(self._unescaped("`", self._at + 1), "between backticks (write $(...) instead)")
        else:
            self._take()

    def _open(self, context: str, length: int) -> None:
        self._take(length)
        self._contexts.append(context)

    def _close_parenthesis(self) -> None:
        self._take()
        if self._contexts[-1] == "(":
            self._contexts.pop()

    def _open_parenthesis(self) -> None:
        if self._starts("((") and self._is_word_start():
            self._arithmetic(2)
        else:
            self._open("(", 1)

    def _single_quotes(self) -> None:
        """Take a quoted stretch; for an expression it is interrupted: ``'a"${VARIABLE}"b'``, with the quotes where they belong."""
        self._take()
        while self._at < len(self._text) and not self._starts("'"):
            if self._starts("${{"):
                self._out.append(f"'\"{self._reference(self._match())}\"'")
            else:
                self._take()
        self._take()

    def _comment(self) -> None:
        if not self._is_word_start():
            self._take()
            return
        end = self._text.find("\n", self._at)
        self._take_to(len(self._text) if end < 0 else end, None)

    def _condition(self) -> None:
        """Refuse a text in a condition that counts: bash reads both sides of ``-eq`` as arithmetic."""
        found = _CONDITION.match(self._text, self._at) if self._is_word_start() else None
        if found and _COUNTING.search(found[0]):
            for match in _EXPRESSION.finditer(found[0]):
                if self._names.kind(match) != "number":
                    raise UserError(
                        f"the command has {match[0]} in {shown(found[0])}, which the shell reads as arithmetic; only numbers and "
                        "truth values may stand there. Write [ ... ] instead of [[ ... ]]"
                    )
        self._take()

    def _arithmetic(self, length: int) -> None:
        """Take arithmetic. Only numbers are let in: a shell reads a text there as code."""
        opening = self._text[self._at + length - 1]
        end = self._balanced(opening, "]" if opening == "[" else ")", self._at + (1 if self._starts("$") else 0))
        for match in _EXPRESSION.finditer(self._text, self._at, end):
            if self._names.kind(match) != "number":
                raise UserError(
                    f"the command has {match[0]} in arithmetic, where the shell reads a text as code; only numbers and truth "
                    "values may stand there"
                )
        while self._at < end:
            if self._starts("${{"):
                self._out.append(self._reference(self._match()))
            else:
                self._take()

    # -- here-documents -----------------------------------------------------------------------------------------------

    def _redirection(self) -> None:
        match = None if self._starts("<<<") else _HERE_DOCUMENT.match(self._text, self._at)
        if self._starts("<<<"):
            self._take(3)
        elif match is None:
            self._take()
        else:
            delimiter = re.sub(r"\\(.)|['\"]", r"\1", match[2])
            self._bodies.append((delimiter, bool(match[1]), delimiter != match[2]))
            self._take(len(match[0]))

    def _line_end(self) -> None:
        self._take()
        bodies, self._bodies = self._bodies, []
        for delimiter, is_stripped, is_quoted in bodies:
            body_end, end = self._body(delimiter, is_stripped)
            if is_quoted:
                self._take_to(body_end, f"in a here-document that nothing is replaced in (<<'{delimiter}')")
            else:
                body = self._text[self._at : body_end]
                self._out.append(_Scanner(body, self._names, base="here").scan())
                self._at = body_end
            self._take(end - self._at)

    def _body(self, delimiter: str, is_stripped: bool) -> tuple[int, int]:
        """Return where a here-document that begins here ends, and where its delimiter's line does."""
        start = self._at
        while start < len(self._text):
            end = self._text.find("\n", start)
            end = len(self._text) if end < 0 else end
            line = self._text[start:end]
            if (line.lstrip("\t") if is_stripped else line) == delimiter:
                return start, end
            start = end + 1
        return len(self._text), len(self._text)

    # -- looking ahead ------------------------------------------------------------------------------------------------

    def _balanced(self, opening: str, closing: str, start: int) -> int:
        """Return the position behind the parenthesis that closes the one at ``start``."""
        depth, position = 0, start
        while position < len(self._text):
            character = self._text[position]
            if character == "\\":
                position += 1
            elif character == opening:
                depth += 1
            elif character == closing:
                depth -= 1
                if depth == 0:
                    return position + 1
            position += 1
        return len(self._text)

    def _unescaped(self, character: str, start: int) -> int:
        """Return the position behind the next such character that no backslash stands before."""
        position = start
        while position < len(self._text) and self._text[position] != character:
            position += 2 if self._text[position] == "\\" else 1
        return min(position + 1, len(self._text))
