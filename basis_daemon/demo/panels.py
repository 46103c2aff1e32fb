"""Panels one below the other over one time axis, as Plotly's own JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.engine.book_view import Json

BLUE, GREEN, RED, AMBER, VIOLET, SLATE = "#3b82f6", "#10b981", "#ef4444", "#f59e0b", "#a855f7", "#8593a8"
"""They hold on light and on dark ground; the colour of text is the page's."""

GAP_PX, HEAD_PX, FOOT_PX, NAME_PX = 58, 40, 46, 14

Points = Sequence[Decimal | None]


@dataclass(slots=True)
class Stack:
    """Panels one below the other over one time axis; ``panel`` opens the next one, from the top."""

    panels: list[tuple[str, int]]
    traces: list[Json] = field(default_factory=list)
    shapes: list[Json] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    axes: Json = field(default_factory=dict)
    _row: int = 0
    _axis: int = 0
    _name: str = "y"
    _range: tuple[str, str] | None = None

    def span(self, first: datetime, last: datetime) -> None:
        """Show this market time, with a little room for what happened at its ends."""
        room = (last - first) / 80
        self._range = stamp(first - room), stamp(last + room)

    @property
    def height(self) -> int:
        """Of the whole figure, in pixels."""
        return HEAD_PX + FOOT_PX + sum(px for _, px in self.panels) + GAP_PX * (len(self.panels) - 1)

    def panel(self, **axis: object) -> None:
        """Begin the next panel with its left axis."""
        inner = self.height - HEAD_PX - FOOT_PX
        above = sum(px for _, px in self.panels[: self._row]) + GAP_PX * self._row
        title, px = self.panels[self._row]
        top = 1 - above / inner
        self._row += 1
        self._new_axis({"domain": [max(top - px / inner, 0), top], **axis})
        self.notes.append({
            "text": title, "x": 0, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom",
            "yshift": 7, "showarrow": False, "align": "left", "font": {"size": 13},
        })  # fmt: skip

    def right_axis(self, **axis: object) -> None:
        """A second scale for the panel that was opened last."""
        self._new_axis({"overlaying": self._name, "side": "right", "showgrid": False, **axis})

    def _new_axis(self, axis: Json) -> None:
        self._axis += 1
        self._name = f"y{self._axis}" if self._axis > 1 else "y"
        self.axes[f"yaxis{self._axis}" if self._axis > 1 else "yaxis"] = {
            "zeroline": False, "anchor": "x", "automargin": False, "nticks": 6, "tickmode": "auto", **axis,
        }  # fmt: skip

    def line(self, x: Sequence[datetime], y: Points, colour: str, hover: str, **line: object) -> None:
        """A line on the axis opened last; ``hover`` is a Plotly template. A missing value is a gap."""
        self.traces.append({
            "type": "scatter", "mode": "lines", "x": [stamp(at) for at in x], "y": numbers(y),
            "yaxis": self._name, "xaxis": "x",
            "line": {"color": colour, "width": 2, **line}, "hovertemplate": hover + "<extra></extra>",
        })  # fmt: skip

    def add(self, **trace: object) -> None:
        """Any other trace on the axis opened last."""
        self.traces.append({"yaxis": self._name, "xaxis": "x", **trace})

    def level(self, at: Decimal, colour: str, label: str, dash: str = "dot") -> None:
        """A labelled horizontal line across the panel."""
        self.shapes.append({
            "type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": self._name, "y0": float(at), "y1": float(at),
            "line": {"color": colour, "width": 1, "dash": dash},
        })  # fmt: skip
        if label:
            self.notes.append({
                "text": label, "xref": "paper", "x": 1, "yref": self._name, "y": float(at), "xanchor": "right",
                "yanchor": "bottom", "showarrow": False, "font": {"size": 11, "color": colour},
            })  # fmt: skip

    def moment(self, at: datetime, label: str, colour: str = SLATE, line: int = 0) -> None:
        """A vertical line through all panels, named at the top in this line of names unless ``label`` is empty."""
        self.shapes.append({
            "type": "line", "xref": "x", "x0": stamp(at), "x1": stamp(at), "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": colour, "width": 1, "dash": "dot"}, "opacity": 0.55, "layer": "below",
        })  # fmt: skip
        if label:
            self.notes.append({
                "text": label, "xref": "x", "x": stamp(at), "yref": "paper", "y": 1, "xanchor": "left",
                "yanchor": "top",
                "xshift": 3, "yshift": -NAME_PX * line, "showarrow": False, "font": {"size": 10.5, "color": colour},
            })  # fmt: skip

    def figure(self) -> Json:
        """Data and layout."""
        layout: Json = {
            "height": self.height, "margin": {"l": 72, "r": 64, "t": HEAD_PX, "b": FOOT_PX}, "showlegend": False,
            "hovermode": "closest", "shapes": self.shapes, "annotations": self.notes, "bargap": 0.2,
            "xaxis": {
                "type": "date", "anchor": "free", "position": 0, "nticks": 14, "showspikes": True,
                "spikemode": "across", "spikesnap": "cursor", "spikethickness": 1, "spikedash": "dot",
                "tickformatstops": [
                    {"dtickrange": [None, 43_200_000], "value": "%H:%M\n%e %b"},
                    {"dtickrange": [43_200_000, None], "value": "%e %b\n%Y"},
                ],
            },
        }  # fmt: skip
        if self._range is not None:
            layout["xaxis"]["range"] = list(self._range)
        return {"data": self.traces, "layout": layout | self.axes}


def numbers(values: Points) -> list[float | None]:
    """For drawing only: a screen needs no more digits than a float has."""
    return [float(value) if value is not None else None for value in values]


def coloured(text: str, colour: str) -> str:
    """Part of a panel's title in the colour of its line."""
    return f"<span style='color:{colour}'>{text}</span>"


def stamp(moment: datetime) -> str:
    """An instant as a chart takes it: UTC without its zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")
