"""The example in README.md runs and prints what it says."""

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


class FencedParser(doctest.DocTestParser):
    """Blank out code fences, which would otherwise read as the last example's output."""

    def parse(self, string, name="<string>"):
        return super().parse(re.sub(r"^```.*$", "", string, flags=re.MULTILINE), name)


def test_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the example saves a model
    result = doctest.testfile(
        str(README),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        parser=FencedParser(),
    )
    assert result.attempted > 0
    assert result.failed == 0
