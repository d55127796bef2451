"""The merged paths as a directed graph for Graphviz (DOT), one for all targets.

Nodes and edges are those of `colotrace_analysis.graph`. An edge's width is its share of the flows;
a dashed edge is one of which no packet is known to have passed it.
"""

from collections.abc import Iterator

from colotrace_analysis import graph
from colotrace_analysis.merging import Kind
from colotrace_analysis.sentences import counted
from colotrace_proto.measured import Measured
from colotrace_proto.text import safe

_CUT = "// cut: "
_PIECE = 100
"""Nodes or edges in one piece of text."""
_MOST_HEAD = 2_000
_SHAPES = {Kind.COLO: "house", Kind.CITY: "house", Kind.TARGET: "doubleoctagon"}
_MOST_COLOS = 3


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """The graph. Pieces may be empty: merging the paths takes several steps."""
    del follows  # a file may have several graphs
    work = graph.work(measured)
    for _ in work:
        yield ""
    yield from written(work.result, name=f"colotrace {measured.summary.id}".rstrip())


def written(merged: graph.Graph, *, name: str = "colotrace") -> Iterator[str]:
    """A graph as DOT, in pieces."""
    yield (
        f"digraph {quoted(name)} {{\n"
        '  graph [rankdir=LR, charset="UTF-8"];\n'
        '  node [shape=box, style=rounded, fontname="sans-serif"];\n'
        f"{_cut(merged)}"
    )
    for first in range(0, len(merged.nodes), _PIECE):
        yield "".join(map(_node, merged.nodes[first : first + _PIECE]))
    for first in range(0, len(merged.edges), _PIECE):
        yield "".join(map(_edge, merged.edges[first : first + _PIECE]))
    yield "}\n"


def cut(text: bytes) -> str:
    """What a graph that `written` wrote lacks; "" if it is whole."""
    lines = text[:_MOST_HEAD].decode(errors="replace").splitlines()
    return next((line.removeprefix(_CUT) for line in lines if line.startswith(_CUT)), "")


def _cut(merged: graph.Graph) -> str:
    if not merged.unmerged:
        return ""  # what is not listed as a path may be drawn all the same
    flows = counted(merged.unmerged, "flow")
    lacks = f"not drawn, since the graph is too large: the paths of {flows}"
    return f"{_CUT}{lacks}\n  graph [label={quoted(lacks)}, labelloc=t];\n"


def quoted(*lines: str) -> str:
    """Untrusted lines as a quoted string. Graphviz reads backslashes and HTML entities in it."""
    escaped = (
        safe(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'


def _node(node: graph.Node) -> str:
    lines = [node.label]
    if node.ip and node.ip != node.label:
        lines.append(node.ip)
    if node.asn and node.asn != node.label:
        lines.append(node.asn)
    if node.mean_rtt_ms is not None:
        lines.append(f"{node.mean_rtt_ms:.3f} ms")
    if node.kind is Kind.TARGET:
        lines += [target for target in node.targets if target not in lines]
    if node.kind is Kind.SILENT:
        return f'  n{node.id} [label="*", shape=circle, style=dashed];\n'
    shape = _SHAPES.get(node.kind)
    extra = f", shape={shape}" if shape else ""
    return f"  n{node.id} [label={quoted(*lines)}{extra}];\n"


def _edge(edge: graph.Edge) -> str:
    colos = list(edge.colos[:_MOST_COLOS])
    if len(edge.colos) > _MOST_COLOS:
        colos.append(f"and {len(edge.colos) - _MOST_COLOS} more")
    style = "" if edge.certain else ", style=dashed"
    return (
        f"  n{edge.near} -> n{edge.far} [label={quoted(', '.join(colos))}, "
        f"penwidth={0.5 + 2.5 * edge.share:.2f}, weight={edge.flows}{style}];\n"
    )
