from __future__ import annotations

import pytest
from mutants import MUTANTS, PACKAGE, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.safeguard)
def test_a_mutant_applies_to_the_code_of_today(mutant: Mutant) -> None:
    code = (PACKAGE / "src" / "datacrawl" / mutant.file).read_text()
    assert code.count(mutant.search) == 1
