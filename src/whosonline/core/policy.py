"""All timings and limits in one value. Impossible combinations are refused when it is made."""

from __future__ import annotations

from dataclasses import dataclass, fields


class PolicyError(ValueError):
    """A timing or limit that cannot work; the message names it, its value and what to do."""


MAY_BE_ZERO = {"grace", "first_message"}
"""What may be 0. Without grace a reload shows; still, a site may want it so."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long things last (in seconds) and how much is too much."""

    grace: float = 5.0
    """How long a user outlives the last connection. Logging out skips it."""
    beat: float = 3.0
    """A node renews its lease this often."""
    lease: float = 10.0
    """A node that was not heard of for this long is taken for dead."""
    sweep: float = 1.0
    """Dead nodes and ended touches are looked for this often."""
    touch: float = 30.0
    """How long a login counts as online before its page opens a socket."""
    tick: float = 0.1
    """The least time between two flushes of changes; the first after a quiet spell goes at once."""
    count_interval: float = 1.0
    """The least time between two messages about the online count alone; it stretches where they take long."""
    send_timeout: float = 40.0
    """A connection that has not taken a frame for this long is closed."""
    idle_after: float = 300.0
    """The browser calls its user idle after this long without input."""
    ping: float = 20.0
    """The server pings each socket this often..."""
    ping_timeout: float = 20.0
    """...and gives it up when no answer came for this long."""
    connections_per_user: int = 20
    """Open connections a user may have on one node."""
    connections_per_address: int = 1000
    """Open connections one address may have on one node; whole offices, and many phones, share one."""
    message_size: int = 32 * 1024
    """The largest client message, in bytes."""
    message_rate: float = 20.0
    """Client messages a second..."""
    message_burst: int = 50
    """...and how many may come at once."""
    bad_messages: int = 10
    """So many bad messages within a minute close the connection."""
    watched_users: int = 500
    """Users, or rows of the directory, that one connection may watch."""
    page_limit: int = 100
    """The longest live page of a room."""
    rooms_per_connection: int = 20
    """Rooms that one connection may have entered."""
    resume: float = 900.0
    """A socket that comes back within so long may spare itself the look-up of its session."""
    request_timeout: float = 20.0
    """A peer whose request has not begun and come to the end of its head after this long is cut."""
    first_message: float = 0.0
    """A connection that has not said anything after this long is closed; 0 for never."""
    connections_per_node: int = 50_000
    """Open connections one node takes; it takes fewer where it may not open as many files."""
    recheck: float = 300.0
    """Everybody who is connected is looked up again once in so long, for what no signal tells."""
    arrivals_waiting: int = 10_000
    """Sockets that may wait to be looked up, on one node; who comes then is told to try later."""
    arrival_timeout: float = 20.0
    """Who has waited for the look-up for this long is told so too."""
    log_length: int = 10_000
    """Log entries kept; a node that falls further behind takes a snapshot."""

    def __post_init__(self) -> None:
        self._refuse_nonpositive()
        if self.lease <= 2 * self.beat:
            raise PolicyError(
                f"lease ({self.lease} s) must be more than 2 × beat ({self.beat} s): "
                "one late beat would show everybody of that node as offline"
            )
        if self.sweep > self.lease / 4:
            raise PolicyError(
                f"sweep ({self.sweep} s) must not be more than a quarter of lease ({self.lease} s): "
                "a store that nobody swept for half a lease takes itself to have been away, and judges nobody"
            )
        if self.touch < self.grace:
            raise PolicyError(
                f"touch ({self.touch} s) must not be less than grace ({self.grace} s): "
                "a login would end before its page has loaded"
            )
        if self.count_interval < self.tick:
            raise PolicyError(
                f"count_interval ({self.count_interval} s) must not be less than tick "
                f"({self.tick} s): what is new is gathered for a tick, the count too"
            )
        if self.message_burst < self.message_rate:
            raise PolicyError(
                f"message_burst ({self.message_burst}) must not be less than message_rate "
                f"({self.message_rate}): an even stream at the rate would be refused"
            )

    def _refuse_nonpositive(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise PolicyError(f"{field.name} must be a number, not {value!r}")
            if field.type == "int" and not isinstance(value, int):
                raise PolicyError(f"{field.name} must be a whole number, not {value!r}")
            may_be_zero = field.name in MAY_BE_ZERO
            fits = value >= 0 if may_be_zero else value > 0
            if not fits or value == float("inf"):
                least = "at least 0" if may_be_zero else "more than 0"
                raise PolicyError(f"{field.name} must be {least} and finite, not {value!r}")
