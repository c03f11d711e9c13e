"""The prose check finds what the writing rules forbid, with its line, and nothing else."""

from pathlib import Path

import pytest

from tests import prose
from tests.prose import findings

PAGE = Path("page.md")
MODULE = Path("module.py")
LONG = " ".join(["w"] * 31) + "."


def kinds(text: str, path: Path = PAGE) -> list[tuple[int, str]]:
    return [(found.line, found.kind) for found in findings(path, text)]


def test_a_sentence_of_31_words_is_found_and_one_of_30_is_not() -> None:
    short = "One. Two. Three."
    assert kinds(f"{short}\n\n{' '.join(['w'] * 30)}.\n") == []
    assert kinds(f"{short}\n\n{LONG}\n") == [(3, "31 words")]


def test_a_page_of_long_sentences_is_found_by_its_average() -> None:
    assert kinds(f"{' '.join(['w'] * 21)}.\n") == [(1, "21.0 words a sentence on average")]


@pytest.mark.parametrize(
    "line", ["It tells you.", "| a | it stands there |", "# Anew", "- Nobody is."]
)
def test_a_banned_word_is_found_in_paragraphs_cells_headings_and_items(line: str) -> None:
    assert [at for at, kind in kinds(f"\n{line}\n") if "write" in kind] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "The stand-in stands for it.",
        "`no_live_runs_harmed` is a name, as `told()` is.",
        "```\nnobody told\n```",
    ],
)
def test_allowed_uses_and_code_are_left_alone(text: str) -> None:
    assert kinds(f"{text}\n") == []


def test_a_generated_part_may_have_long_lines_and_no_banned_word() -> None:
    part = "<!-- rules of x: begin -->\n{}\n<!-- rules of x: end -->\n"
    assert kinds(part.format("a `" + "b" * 130 + "`")) == []
    assert [line for line, _ in kinds(part.format("nobody"))] == [2]


def test_lists_and_cells_are_sentences_of_their_own() -> None:
    half = " ".join(["w"] * 20)
    assert kinds(f"- {half}\n- {half}\n\n| {half} | {half} |\n") == []


def test_a_line_of_120_characters_is_found_unless_it_is_one_address() -> None:
    assert kinds("a " * 60 + "\n") != []
    assert kinds("https://example.com/" + "a" * 120 + "\n") == []


def test_a_module_is_checked_in_docstrings_comments_and_messages() -> None:
    module = '''"""It tells.

Nobody knows.
"""

# Who goes
# there.
KEY = "told"
TEXT = f"the file {KEY} stands beside it"
'''
    assert [(line, kind.split("'")[1]) for line, kind in kinds(module, MODULE)] == [
        (1, "tells"),
        (3, "Nobody"),
        (6, "goes"),
        (9, "beside"),
        (9, "stands"),
    ]


def test_a_report_counts_by_file_and_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text(f'"""It stands. It stands.\n\n{LONG}\n"""\n')
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    assert list(prose.report(["a"])) == ["a/x.py: stands 2, long 1", "all: stands 2, long 1"]


def test_a_path_that_names_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere names no file"):
        prose.files(["nowhere"])
