"""Numbers as people read them: the one home of rounding. No digit is shown that is not known."""

from __future__ import annotations

import math
from typing import Any

UNKNOWN = "–"
LOPSIDED = 1.25  # half-widths: where one side is longer, ± would mislead as well
UNCLEAR = "unclear"
HOPELESS = 4.0  # the upper end over the lower one: the figure is not known at all
WIDE = 0.25  # of the value: a wider interval is rarely symmetric, so ± would mislead


def count(value: float | None) -> str:
    """A quantity in three digits and an SI letter.

    >>> count(25_557_032), count(0), count(512), count(None)
    ('25.6 M', '0', '512', '–')
    """
    if value is None:
        return UNKNOWN
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            return f"{_three_digits(value / limit)} {letter}"
    return f"{value:.0f}"


def number(value: int, noun: str) -> str:
    """A count with its noun.

    >>> number(1, "thread"), number(2, "thread"), number(2, "series")
    ('1 thread', '2 threads', '2 series')
    """
    return f"{value} {noun}" if value == 1 or noun.endswith("s") else f"{value} {noun}s"


def bytes_(value: float | None) -> str:
    """A quantity of bytes, in decimal units.

    >>> bytes_(25_690_112)
    '25.7 MB'
    """
    if value is None:
        return UNKNOWN
    text = count(value)
    return f"{text}B" if " " in text else f"{text} B"


def seconds(value: float) -> str:
    """A duration for a progress line.

    >>> seconds(7.4), seconds(134)
    ('7 s', '2 min 14 s')
    """
    whole = round(value)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def round_up(value: float) -> int:
    """A quantity to ask for: two significant digits, never less than `value`.

    >>> round_up(4.2), round_up(131.0)
    (5, 140)
    """
    step = 10 ** max(0, math.floor(math.log10(max(value, 1))) - 1)
    return int(math.ceil(value / step) * step)


def percent(fraction: float) -> str:
    """A fraction in percent.

    >>> percent(0.0213), percent(0.34)
    ('2.1 %', '34 %')
    """
    return f"{100 * fraction:.1f} %" if abs(fraction) < 0.0995 else f"{100 * fraction:.0f} %"


def change(ratio: float | None) -> str:
    """A ratio as a change in percent.

    >>> change(1.0990), change(0.997), change(1.0), change(3.5), change(None)
    ('+9.9 %', '-0.3 %', '0', '+250 %', '–')
    """
    if ratio is None:
        return UNKNOWN
    if ratio == 1:
        return "0"
    percent = 100 * (ratio - 1)
    return f"{percent:+.0f} %" if abs(percent) >= 99.5 else f"{percent:+.1f} %"


def change_with_interval(interval: tuple[float, float, float] | None) -> str:
    """(ratio, lo, hi) as a change in percent ± half-width, with the digits of `with_interval`.

    >>> change_with_interval((1.0231, 1.018, 1.028)), change_with_interval((0.98, 0.96, 1.0))
    ('+2.3 ± 0.5 %', '-2 ± 2 %')
    >>> change_with_interval((1.0, 1.0, 1.0)), change_with_interval(None)
    ('0', '–')
    >>> change_with_interval((1.2, 0.73, 1.97)), change_with_interval((1.2, 0.1, 9.0))
    ('-27 … +97 %', 'unclear')
    >>> change_with_interval((0.999, 0.96, 1.04))
    '0 ± 4 %'
    """
    if interval is None:
        return UNKNOWN
    value, lo, hi = (100 * (end - 1) for end in interval)
    half_width = (hi - lo) / 2
    if half_width <= 0:
        return change(interval[0])
    if is_hopeless(interval):
        return UNCLEAR
    if half_width > 100 * WIDE * interval[0]:
        return f"{lo:+.0f} … {hi:+.0f} %"
    places = _places(half_width)
    shown = max(places, 0)
    rounded = round(value, places)
    text = f"{rounded:+.{shown}f}" if rounded else "0"
    return f"{text} ± {round(half_width, places):.{shown}f} %"


def coefficient(interval: tuple[float, float, float]) -> str:
    """A coefficient between -1 and 1 with the ends of its interval.

    >>> coefficient((0.8712, 0.8344, 0.9077))
    '0.87 (0.83 … 0.91)'
    """
    value, lo, hi = interval
    return f"{value:.2f} ({lo:.2f} … {hi:.2f})"


def risk(fraction: float) -> str:
    """A small probability in percent; a very small one by its upper limit.

    >>> risk(0.0123), risk(2e-9)
    ('1.2 %', '< 0.1 %')
    """
    return percent(fraction) if fraction >= 0.001 else "< 0.1 %"


def microseconds(value: float | None) -> str:
    """A latency in three digits.

    >>> microseconds(7.4123), microseconds(40345.2), microseconds(None)
    ('7.41 µs', '40.3 ms', '–')
    """
    if value is None:
        return UNKNOWN
    return f"{_three_digits(value)} µs" if value < 999.5 else f"{_three_digits(value / 1e3)} ms"


def multiple(value: float | None) -> str:
    """An exact multiple with two decimal places.

    >>> multiple(1.0025), multiple(3.0), multiple(None)
    ('1.00', '3.00', '–')
    """
    return UNKNOWN if value is None else f"{value:.2f}"


def with_interval(interval: tuple[float, float, float] | None) -> str:
    """(value, lo, hi) as value ± half-width, rounded to the digits that the interval supports.

    The half-width has one digit, or two if it begins with a 1. A wide or asymmetric interval is
    shown by its two ends.

    >>> with_interval((40345.2, 39420.0, 41250.0)), with_interval((1.2345, 1.2221, 1.2469))
    ('40300 ± 900', '1.234 ± 0.012')
    >>> with_interval((4.71, 4.04, 12.35)), with_interval((0.013, 0.009, 0.018))
    ('4.0 … 12', '0.0090 … 0.018')
    >>> with_interval((1.0, 1.0, 1.0)), with_interval(None), with_interval((1.0, 0.01, 80.0))
    ('1', '–', 'unclear')
    """
    if interval is None:
        return UNKNOWN
    value, lo, hi = interval
    half_width = (hi - lo) / 2
    if half_width <= 0:
        return f"{value:.4g}"
    if is_hopeless(interval):
        return UNCLEAR
    if half_width > WIDE * value or max(hi - value, value - lo) > LOPSIDED * half_width:
        return f"{significant(lo, 2)} … {significant(hi, 2)}"
    places = _places(half_width)
    shown = max(places, 0)
    return f"{round(value, places):.{shown}f} ± {round(half_width, places):.{shown}f}"


def is_hopeless(interval: tuple[float, float, float]) -> bool:
    """Whether the interval is so wide that its ends say nothing."""
    _, lo, hi = interval
    return math.isinf(hi) or hi > HOPELESS * lo


def between(lo: float, hi: float) -> str:
    """Two ends of a factor, rounded outwards.

    >>> between(1.304, 1.512), between(11.2, 38.9), between(2.04, 2.12)
    ('1.30 to 1.52', '11 to 39', '2.0 to 2.2')
    """
    places = 2 if lo < 2 else 1 if lo < 10 else 0
    step = 10.0**-places
    return f"{math.floor(lo / step) * step:.{places}f} to {math.ceil(hi / step) * step:.{places}f}"


def listing(words: list[str]) -> str:
    """Several words as in a sentence.

    >>> listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def plain(value: Any) -> str:
    """One cell of a wide table: four digits, whole numbers in full, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _places(half_width: float) -> int:
    """Decimal places for a half-width of one digit, or of two if it begins with a 1."""
    places = -math.floor(math.log10(half_width))
    return places + 1 if half_width * 10**places < 1.95 else places


def significant(value: float, digits: int) -> str:
    """A value in so many digits.

    >>> significant(3.061, 2), significant(1234.0, 2)
    ('3.1', '1200')
    """
    if math.isinf(value):
        return "∞"
    places = digits - 1 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{round(value, places):.{max(places, 0)}f}"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
