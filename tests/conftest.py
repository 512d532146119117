from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import of transformers, which otherwise retries for most of a minute

# A shell starts background jobs with SIGINT ignored, and all their children inherit it: those that tests send Ctrl-C
# would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _temporary_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Generated data of a test run go to a folder of its own, which parallel test processes share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMRL_HOME", str(folder / "lmrl_home"))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public files for checking readers and figures against the real thing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data is not there")
    return SHARED_DATA
