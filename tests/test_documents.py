"""What the documents say is true: their examples run, the list of public names is current."""

import doctest
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class FencedParser(doctest.DocTestParser):
    """Blank out code fences, which would otherwise read as the last example's output."""

    def parse(self, string, name="<string>"):
        return super().parse(re.sub(r"^```.*$", "", string, flags=re.MULTILINE), name)


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "doc/concepts.md",
        "doc/images.md",
        "doc/sequences.md",
        "doc/sharpness.md",
        "doc/streams.md",
        "doc/structures.md",
        "doc/tables.md",
    ],
)
def test_examples_print_what_they_say(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example saves a model
    result = doctest.testfile(
        str(ROOT / document),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        parser=FencedParser(),
    )
    assert result.attempted > 0
    assert result.failed == 0


def test_the_list_of_public_names_is_current():
    written = (ROOT / "doc" / "api.md").read_text()
    assert runpy.run_path(str(ROOT / "doc" / "make_api.py"))["render"]() == written, (
        "run: python doc/make_api.py"
    )


def test_links_between_documents_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "doc").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if not link.startswith("http"):
                assert (document.parent / link).exists(), f"{document.name}: {link}"
