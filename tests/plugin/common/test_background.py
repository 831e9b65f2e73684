"""Work in threads: results and errors come to the main thread, and only those that are still wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from qtpy.QtCore import QThread
from qtpy.QtWidgets import QApplication

from fctl_napari.errors import Cancelled, InputError
from fctl_napari.plugin.common import background
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.progress import Progress

pytestmark = pytest.mark.gui


def test_results_come_to_the_main_thread(qapp: QApplication, until: Callable[..., None]) -> None:
    jobs = Jobs()
    heard: list[object] = []
    main = threading.current_thread()

    def work(progress: Progress) -> bool:
        progress(3, 7)
        return threading.current_thread() is not main

    def done(result: object) -> None:
        heard.append((result, QThread.currentThread() == qapp.thread()))

    counts: list[tuple[int, int]] = []
    busy: list[bool] = []
    jobs.busy.connect(busy.append)
    jobs.begin(work, done, heard.append, progressed=lambda *count: counts.append(count))
    assert jobs.running
    until(lambda: not jobs.running)
    assert heard == [(True, True)]
    assert counts == [(3, 7)]
    assert busy == [True, False]


def test_only_the_latest_counts(until: Callable[..., None], qapp: QApplication) -> None:
    jobs = Jobs()
    heard: list[object] = []
    release = threading.Event()

    def slow(progress: Progress) -> str:
        release.wait(30)
        progress(0, 0)
        return "slow"

    def wrong(_progress: Progress) -> str:
        raise InputError("no.")

    jobs.begin(slow, heard.append, heard.append)
    (first,) = background._running
    dropped: list[BaseException] = []
    first.failed.connect(dropped.append)
    jobs.begin(wrong, heard.append, heard.append)
    until(lambda: not jobs.running)
    release.set()
    until(lambda: not background._running)
    assert [type(word) for word in heard] == [InputError]
    assert [type(error) for error in dropped] == [Cancelled]
    heard.clear()
    release.clear()
    jobs.begin(slow, heard.append, heard.append)
    jobs.cancel()
    release.set()
    until(lambda: not jobs.running)
    assert [type(word) for word in heard] == [Cancelled]
