"""Settings of the whole test run; at the root, because nbval collects in notebooks/."""

import os
import shutil
import tempfile


def pytest_configure(config):
    """Give every lesson an empty workspace: fixtures never reach a kernel, the environment does."""
    os.environ["KIT_WORKSPACE"] = tempfile.mkdtemp(prefix="kit-workspace-")


def pytest_collectstart(collector):
    """Compare all of a lesson's outputs but stderr, where somebody else's package may warn."""
    if hasattr(collector, "skip_compare"):  # nbval's notebooks only
        collector.skip_compare += ("stderr",)


def pytest_unconfigure(config):
    """Leave nothing behind."""
    shutil.rmtree(os.environ.pop("KIT_WORKSPACE", ""), ignore_errors=True)
