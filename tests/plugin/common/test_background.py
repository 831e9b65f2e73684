"""Work in threads: results and errors come to the main thread, and only those that are still wanted."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import pytest
from napari.utils import progress
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QThread
from qtpy.QtWidgets import QApplication

from fctl_napari.exceptions import Cancelled, InputError
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


def test_a_bar_is_shown_of_what_takes_longer(
    until: Callable[..., None], qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "BAR_MS", 20)
    jobs = Jobs()
    release = threading.Event()

    def work(report: Progress) -> None:
        report(3, 7)
        release.wait(30)

    jobs.begin(work, lambda _: None, lambda _: None, label="Working")
    assert not list(progress._all_instances)
    until(lambda: bool(list(progress._all_instances)))
    (bar,) = progress._all_instances
    assert (bar.desc, bar.n, bar.total) == ("Working", 3, 7)
    release.set()
    until(lambda: not jobs.running)
    assert not list(progress._all_instances)


def test_no_bar_is_shown_of_what_is_over_at_once(
    until: Callable[..., None], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    monkeypatch.setattr(background, "progress", lambda **kwargs: shown.append(kwargs))
    monkeypatch.setattr(background, "BAR_MS", 50)
    jobs = Jobs()
    jobs.begin(lambda _: None, lambda _: None, lambda _: None, label="Working")
    until(lambda: not jobs.running)
    qtbot.wait(60)
    assert shown == []


def test_what_listened_to_a_job_goes_with_it(until: Callable[..., None], qapp: QApplication) -> None:
    class Listener:
        def hear(self, _: object) -> None:
            pass

    listener = Listener()
    jobs = Jobs()
    jobs.begin(lambda _: None, listener.hear, listener.hear)
    until(lambda: not jobs.running)
    known = weakref.ref(listener)
    del listener
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert known() is None
