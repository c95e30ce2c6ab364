"""How large the package is: files, functions, columns, and characters of code.

    python benchmarks/code_size.py [FOLDER]

Characters of code are those of all tokens but comments and docstrings. Prints one line.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

_LAYOUT = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.COMMENT,
}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_lines(tree: ast.AST) -> set[int]:
    """The lines on which docstrings begin."""
    found = (node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED))
    return {
        node.body[0].lineno for node in found if ast.get_docstring(node) is not None
    }


def code_characters(text: str) -> int:
    docstrings = docstring_lines(ast.parse(text))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(
        len(each.string)
        for each in tokens
        if each.type not in _LAYOUT
        and not (each.type == tokenize.STRING and each.start[0] in docstrings)
    )


def function_lengths(text: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _FUNCTIONS):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "lrsearch")
    texts = [each.read_text(encoding="utf-8") for each in sorted(folder.rglob("*.py"))]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    lengths = [length for text in texts for length in function_lengths(text)]
    print(
        f"{len(texts)} files, the longest {max(text.count(chr(10)) for text in texts)} lines; "
        f"{sum(each > 60 for each in lengths)} functions over 60 lines; "
        f"{sum(map(len, lines)) / len(lines):.1f} characters per nonblank line; "
        f"{sum(map(code_characters, texts)):,} characters of code"
    )


if __name__ == "__main__":
    main()
