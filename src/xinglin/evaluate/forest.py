"""Charts of a report as inline SVG. Positions are percentages, so a chart fits any width without distortion."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xinglin.evaluate.compare import Comparison
from xinglin.evaluate.labels import percent, points, span
from xinglin.evaluate.markup import Markup, element
from xinglin.types import Metric

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)


class Axis:
    """A shared axis of differences: from `low` to `high` in score units, with round ticks, zero among them."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        low = min([0.0, *(row.low for row in comparisons)])
        high = max([0.0, *(row.high for row in comparisons)])
        self.step = next((step for step in _STEPS if (high - low) / step <= 5), _STEPS[-1])
        self.low = math.floor(low / self.step) * self.step
        self.high = max(math.ceil(high / self.step), 1) * self.step

    def at(self, value: float) -> str:
        """The position of a value, with a small margin on both sides."""
        return f"{4 + 92 * (value - self.low) / (self.high - self.low):.2f}%"

    def ticks(self) -> list[float]:
        """The values that are labelled."""
        first, last = round(self.low / self.step), round(self.high / self.step)
        return [number * self.step for number in range(first, last + 1)]


def forest_row(comparison: Comparison, axis: Axis) -> Markup:
    """The interval and mean of one comparison; the shape of the mark says the verdict as well as its colour."""
    x = axis.at(comparison.difference)
    kind = {"better": "better", "worse": "worse"}.get(comparison.verdict, "none")
    whisker = element("line", x1=axis.at(comparison.low), x2=axis.at(comparison.high), y1="18", y2="18", class_="ci")
    ends = [
        element("line", x1=axis.at(value), x2=axis.at(value), y1="13", y2="23", class_="ci")
        for value in (comparison.low, comparison.high)
    ]
    words = f"{points(comparison.difference)} {span(comparison.low, comparison.high)}"
    grid = [
        element("line", x1=axis.at(tick), x2=axis.at(tick), y1="0", y2="36", class_="grid") for tick in axis.ticks()
    ]
    zero = element("line", x1=axis.at(0), x2=axis.at(0), y1="0", y2="36", class_="zero")
    mark = element("circle", cx=x, cy="18", r="5.5", class_="mark")
    return element(
        "svg",
        element("title", words),
        *grid,
        zero,
        whisker,
        *ends,
        mark,
        class_=f"forest {kind}",
        width="100%",
        height="36",
        role="img",
        aria_label=words,
    )


def forest_axis(axis: Axis) -> Markup:
    """The labelled axis below the rows, in percentage points."""
    texts = [
        element("text", points(tick).replace(".0", ""), x=axis.at(tick), y="15", text_anchor="middle")
        for tick in axis.ticks()
    ]
    return element("svg", *texts, class_="axis", width="100%", height="20", aria_hidden="true")


def gauge(metric: Metric) -> Markup:
    """A value between 0 and 1 on a track, its interval as a band."""
    words = f"{percent(metric.value)} %"
    left, width = 100 * metric.low, 100 * (metric.high - metric.low)
    return element(
        "svg",
        element("title", words),
        element("rect", x="0", y="5", width="100%", height="4", rx="2", class_="track"),
        element("rect", x="0", y="5", width=f"{100 * metric.value:.2f}%", height="4", rx="2", class_="fill"),
        element("rect", x=f"{left:.2f}%", y="2", width=f"{max(width, 0.5):.2f}%", height="10", rx="2", class_="band"),
        element("rect", x=f"{min(100 * metric.value, 99):.2f}%", y="0", width="2", height="14", class_="point"),
        class_="gauge",
        width="100%",
        height="14",
        role="img",
        aria_label=words,
    )
