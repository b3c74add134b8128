"""The tests of the modules run on one thread."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Maps are small here, and on a busy machine two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
