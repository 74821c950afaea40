from hypothesis import given
from hypothesis import strategies as st

from eagent.bucket import Bucket

S = 1_000_000_000
steps = st.lists(st.tuples(st.integers(-S, 5 * S), st.floats(0, 12)), max_size=60)


def test_a_full_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate_per_s=2, burst=3, now_ns=0)
    assert [bucket.take(0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(S) for _ in range(3)] == [True, True, False]
    assert not bucket.take(S + S // 4)
    assert bucket.take(S + S // 2)


def test_it_never_holds_more_than_its_burst() -> None:
    bucket = Bucket(rate_per_s=100, burst=2, now_ns=0)
    assert [bucket.take(3600 * S) for _ in range(3)] == [True, True, False]


def test_what_is_refused_takes_nothing() -> None:
    bucket = Bucket(rate_per_s=1, burst=4, now_ns=0)
    assert not bucket.take(0, 5)
    assert bucket.take(0, 4)


@given(st.floats(0.01, 1000), st.floats(1, 100), steps)
def test_in_any_stretch_it_gives_no_more_than_its_burst_and_what_ran_in(
    rate_per_s: float, burst: float, asked: list[tuple[int, float]]
) -> None:
    bucket = Bucket(rate_per_s, burst, now_ns=0)
    now_ns, latest_ns = 0, 0
    given_out: list[tuple[int, float]] = []
    for step_ns, tokens in asked:
        now_ns += step_ns  # a clock that goes back gives nothing
        latest_ns = max(latest_ns, now_ns)
        if bucket.take(now_ns, tokens):
            given_out.append((latest_ns, tokens))
    for first, (from_ns, _) in enumerate(given_out):
        total = 0.0
        for at_ns, tokens in given_out[first:]:
            total += tokens
            assert total <= burst + (at_ns - from_ns) * rate_per_s / 1e9 + 1e-6


@given(st.floats(0.5, 1000), st.integers(1, 50))
def test_who_keeps_to_the_rate_is_never_refused(rate_per_s: float, asked: int) -> None:
    bucket = Bucket(rate_per_s, burst=1.001, now_ns=0)
    period_ns = int(1e9 / rate_per_s) + 1
    assert all(bucket.take(turn * period_ns) for turn in range(asked))
