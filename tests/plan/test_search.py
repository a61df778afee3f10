"""The largest size within a limit, held against counting up."""

from hypothesis import given
from hypothesis import strategies as st

from seqcost.plan import Choice, front, largest
from seqcost.plan.search import MOST

COEFFICIENTS = st.tuples(*[st.integers(0, 50)] * 3)


def by_counting(cost, limit, step, last):
    fitting = [n for n in range(step, last + 1, step) if cost(n) <= limit]
    return max(fitting, default=None)


@given(COEFFICIENTS, st.integers(1, 7), st.integers(1, 20_000), st.integers(1, 60), st.integers(1, 300))
def test_a_cost_that_grows_is_met_exactly(coefficients, block, limit, step, guess):
    """Polynomials, rounded up to blocks: the size fits, the next one does not."""
    a, b, c = coefficients

    def cost(n):
        whole = -(-n // block) * block
        return a * whole**2 + b * whole + c + n // 100

    last = 300
    for hint in (None, guess):
        found = largest(cost, limit, step=step, last=last, guess=hint)
        assert found.size == by_counting(cost, limit, step, last)
        if found.size is not None:
            assert found.cost == cost(found.size) <= limit
        if found.next_size is None:
            assert found.size is not None
            assert found.size + step > last
        else:
            assert found.next_size == (found.size or 0) + step
            assert found.next_cost > limit
        assert found.fits_again is None
        assert found.fails_before is None


def test_looks_are_few():
    for cost, limit, most in (
        (lambda n: 208_688 * n + 76_000_000, 24 * 2**30, 8),
        (lambda n: 24 * n * n + 17 * n + 5, 24 * 2**30, 12),
        (lambda n: 24 * (-(-n // 256) * 256) ** 2 + 17, 80 * 2**30, 40),  # in steps
    ):
        found = largest(cost, limit)
        assert cost(found.size) <= limit < cost(found.size + 1)
        assert len(found.looks) <= most


def test_a_true_guess_takes_two_looks():
    found = largest(lambda n: 10 * n, 12_345, guess=1234)
    assert (found.size, sorted(found.looks)) == (1234, [1234, 1235])


def test_what_does_not_grow_fits_at_any_size():
    found = largest(lambda n: 7, 10)
    assert (found.size, found.next_size, found.next_cost) == (MOST, None, None)


def test_where_nothing_fits_the_smallest_is_told():
    found = largest(lambda n: 100 + n, 50, step=8)
    assert (found.size, found.smallest, found.cost) == (None, 8, 108)


def test_a_cost_that_falls_again_is_told():
    """One token more than a window takes a mask; a whole number of windows takes none."""
    found = largest(lambda n: n + (500 if n % 64 else 0), 600, beyond=lambda n: [n + 2, -(-(n + 2) // 64) * 64, 2 * n])
    assert found.cost <= 600 < found.next_cost
    assert found.fits_again == 128
    before = largest(lambda n: n + (500 if n == 10 else 0), 300, guess=10)
    assert before.size in (9, 300)


def test_numbers_beyond_64_bits_are_exact():
    found = largest(lambda n: n**4, 10**40, last=2**40)
    assert found.size == 10**10


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(pairs):
    choices = [Choice(name=str(i), need=need, cost=cost) for i, (need, cost) in enumerate(pairs)]
    kept = front(choices)
    assert list(kept) == sorted(kept, key=lambda choice: choice.cost)
    for choice in choices:
        beaten = any(
            other.need <= choice.need
            and other.cost <= choice.cost
            and (other.need, other.cost) != (choice.need, choice.cost)
            for other in choices
        )
        on_it = any((other.need, other.cost) == (choice.need, choice.cost) for other in kept)
        assert on_it != beaten
