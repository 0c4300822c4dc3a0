"""Ctrl-C for processes that tests start."""

from __future__ import annotations

import signal


def heed_ctrl_c() -> None:
    """For ``preexec_fn``: what runs in the background, as tests may, passes Ctrl-C on as ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
