"""The tabs that are open: each has its own session, and a private folder that goes when the tab does."""

import threading
from pathlib import Path

from editing.config import StudioConfig
from editing.studio.jobs import Turn
from editing.studio.session import Session
from inversion.invert import Inverter
from stylegan_core.credentials import Signature

SHORTEST_KEY = 32  # characters of what a tab calls itself by: shorter ones could be guessed
MAX_SESSIONS = 32  # the one that was opened first is closed when there are more


class Sessions:
    """Sessions by the tab's name; all start with the same models."""

    def __init__(
        self, inverter: Inverter, folder: Path, max_bytes: int, grace: float = StudioConfig.grace,
        signature: Signature | None = None,
    ) -> None:  # fmt: skip
        self.inverter, self.folder, self.max_bytes, self.grace = inverter, folder, max_bytes, grace
        self.signature = signature  # signs the pictures that are downloaded
        self.turn = Turn()
        self._by_tab: dict[str, Session] = {}
        self._by_key: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._opened = 0

    def of(self, tab: str) -> Session:
        """Return the session of a tab, a new one if need be."""
        with self._lock:
            if tab not in self._by_tab:
                self._opened += 1
                folder = self.folder / f"session{self._opened}"
                self._by_tab[tab] = Session(self.inverter, folder, self.max_bytes, self.turn, self.signature)
                everyone = list(dict.fromkeys([*self._by_key.values(), *self._by_tab.values()]))
                for session in everyone[: max(0, len(everyone) - MAX_SESSIONS)]:
                    self._forget(session)
            return self._by_tab[tab]

    def again(self, tab: str, key: str) -> Session:
        """Return the session of a tab; a page that was loaded anew goes on with the one that its `key` had before."""
        with self._lock:
            if key in self._by_key:
                self._by_tab[tab] = self._by_key[key]
                return self._by_key[key]
        session = self.of(tab)
        if len(key) >= SHORTEST_KEY:
            with self._lock:
                self._by_key[key] = session
        return session

    def by_token(self, token: str) -> Session | None:
        """Return the session whose downloads have this token."""
        with self._lock:
            return next((session for session in self._by_tab.values() if session.token == token), None)

    def close(self, tab: str) -> None:
        """Let a tab go; its session is deleted in a moment unless the page comes back."""
        with self._lock:
            session = self._by_tab.pop(tab, None)
        if session is not None:
            timer = threading.Timer(self.grace, self._end, [session])
            timer.daemon = True
            timer.start()

    def close_all(self) -> None:
        """Forget every tab at once."""
        with self._lock:
            for session in {*self._by_tab.values(), *self._by_key.values()}:
                self._forget(session)

    def _end(self, session: Session) -> None:
        with self._lock:
            if session not in self._by_tab.values():
                self._forget(session)

    def _forget(self, session: Session) -> None:
        """Forget a session and delete all of its files."""
        for table in (self._by_tab, self._by_key):
            for name in [name for name, one in table.items() if one is session]:
                del table[name]
        session.close()
