"""When a node takes the store to be away, and when to be back."""

from __future__ import annotations

import random

from whosonline.core.health import REMIND_AFTER, Health, News


def test_it_is_away_from_the_first_failure_until_whatever_failed_was_answered() -> None:
    health = Health()
    assert health.failed("sweep", 10.0) is News.AWAY
    assert health.failed("beat", 11.0) is None
    assert health.answered("sweep", 12.0) is None
    assert health.failed("sweep", 13.0) is None
    assert health.answered("beat", 14.0) is None
    assert health.answered("sweep", 15.0) == 5.0
    assert health.failed("sweep", 16.0) is News.AWAY


def test_who_was_held_up_is_excused_once_until_an_answer_and_only_while_the_store_is_there() -> None:
    health = Health()
    assert not health.excuses("beat", held_up=False)
    for _ in range(2):
        assert health.excuses("beat", held_up=True)
        assert not health.excuses("beat", held_up=True)
        assert health.excuses("sweep", held_up=True)
        health.answered("beat", 1.0)
        health.answered("sweep", 1.0)
    health.failed("follow", 2.0)
    assert not health.excuses("beat", held_up=True)


def test_answers_while_nothing_fails_are_no_news() -> None:
    health = Health()
    assert health.answered("beat", 1.0) is None
    health.failed("sweep", 2.0)
    assert health.answered("beat", 3.0) is None
    assert health.answered("sweep", 4.0) == 2.0
    assert health.answered("sweep", 5.0) is None


def test_a_long_outage_is_told_once_and_then_once_a_minute_whatever_fails_meanwhile() -> None:
    health = Health()
    told = {now: news for now in range(200) if (news := health.failed(f"loop {now % 4}", float(now)))}
    assert told == {0: News.AWAY, 60: News.STILL_AWAY, 120: News.STILL_AWAY, 180: News.STILL_AWAY}
    assert REMIND_AFTER == 60
    assert health.lasted(199.0) == 199.0


def test_failures_are_counted_for_each_loop_until_an_answer() -> None:
    health = Health()
    for loop in ("beat", "beat", "sweep"):
        health.failed(loop, 0.0)
    assert [health.failures(loop) for loop in ("beat", "sweep", "report")] == [2, 1, 0]
    health.answered("beat", 1.0)
    assert [health.failures(loop) for loop in ("beat", "sweep", "report")] == [0, 1, 0]


def test_while_nothing_answers_it_is_never_back_however_the_tries_fall() -> None:
    rng = random.Random(1)
    health = Health()
    news = [health.failed(rng.choice(["beat", "report", "follow", "sweep"]), n / 100) for n in range(1000)]
    assert news.count(News.AWAY) == 1
