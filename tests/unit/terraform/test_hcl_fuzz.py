"""Of made-up and damaged HCL the guard sees every block and call that the real Terraform sees."""

import shutil

import pytest

from tests.support.hcl_judges import Tally, compare
from tests.support.hcl_texts import Maker


@pytest.mark.skipif(shutil.which("terraform") is None, reason="no terraform on PATH")
def test_terraform_sees_no_block_and_no_function_that_the_guard_did_not() -> None:
    tally = Tally()
    compare(Maker(1130), 150, tally)
    print(f"\n{tally}")
    assert tally.missed == []
    # Both read enough of it for the comparison to mean something.
    assert tally.read_by_both >= 90
    assert tally.functions >= 15
