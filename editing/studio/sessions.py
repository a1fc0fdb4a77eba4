"""The tabs that are open: each has its own session, and a private folder that goes when the tab does."""

import threading
from pathlib import Path

from editing.studio.session import Session
from inversion.invert import Inverter

MAX_SESSIONS = 32  # the one that was opened first is closed when there are more


class Sessions:
    """Sessions by the tab's name; all start with the same models."""

    def __init__(self, inverter: Inverter, folder: Path, max_bytes: int) -> None:
        self.inverter, self.folder, self.max_bytes = inverter, folder, max_bytes
        self._by_tab: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._opened = 0

    def of(self, tab: str) -> Session:
        """Return the session of a tab, a new one if need be."""
        with self._lock:
            if tab not in self._by_tab:
                self._opened += 1
                while len(self._by_tab) >= MAX_SESSIONS:
                    self._by_tab.pop(next(iter(self._by_tab))).close()
                self._by_tab[tab] = Session(self.inverter, self.folder / f"session{self._opened}", self.max_bytes)
            return self._by_tab[tab]

    def by_token(self, token: str) -> Session | None:
        """Return the session whose downloads have this token."""
        with self._lock:
            return next((session for session in self._by_tab.values() if session.token == token), None)

    def close(self, tab: str) -> None:
        """Forget a tab and delete all of its files."""
        with self._lock:
            session = self._by_tab.pop(tab, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """Forget every tab."""
        for tab in list(self._by_tab):
            self.close(tab)
