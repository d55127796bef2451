"""DOT as pydot reads it."""

import functools
import re

import pydot
import pytest
from colotrace_analysis import merging
from colotrace_formats import as_dot
from colotrace_proto.measured import Measured

from .samples import CASES, EVIL, SINGAPORE, evil, measured, plain, trace, written

# pydot calls pyparsing by names that pyparsing 3.3 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pydot")


def graphs(what: Measured) -> list[pydot.Dot]:
    return _parsed(written("dot", what))


@functools.cache
def _parsed(dot: str) -> list[pydot.Dot]:
    """The graphs of a text, which pydot parses slowly and several tests look at."""
    return pydot.graph_from_dot_data(dot) or []


def test_graph_has_the_merged_paths() -> None:
    (graph,) = graphs(plain())
    labels = {node.get_name(): node.get("label") for node in graph.get_nodes()}
    assert labels["n2"] == '"gw.den.example\\n192.0.2.1\\n0.319 ms"'
    edges = {(labels[e.get_source()], labels[e.get_destination()]) for e in graph.get_edges()}
    assert ('"den01"', labels["n2"]) in edges


@pytest.mark.parametrize("case", list(CASES))
def test_measurement_is_one_graph(case: str) -> None:
    assert len(graphs(CASES[case])) == 1


@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_text_makes_no_node_and_no_edge(text: str) -> None:
    (graph,) = graphs(evil(text))
    (harmless,) = graphs(evil("x"))
    assert len(graph.get_nodes()) == len(harmless.get_nodes())
    assert len(graph.get_edges()) == len(harmless.get_edges())


@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_text_has_no_escape_of_graphviz(text: str) -> None:
    r"""Graphviz replaces \N by the node's name, \l by a line's end, and &lt; by a character."""
    (graph,) = graphs(evil(text))
    labels = [str(node.get("label")).replace("\\\\", "") for node in graph.get_nodes()]
    assert not [label for label in labels if re.search(r'\\[^n"]|&(?!amp;)', label)]


def test_graph_that_is_cut_says_so(monkeypatch) -> None:
    """In the drawing, and for programs in its head."""
    assert as_dot.cut(written("dot", plain()).encode()) == ""
    monkeypatch.setattr(merging, "MOST_NODES", 2)
    traces = {0: trace("a1", "T2"), 1: trace("b1", "T2", colo=SINGAPORE)}
    two = measured(traces, colos=("den01", "sin01"))
    lacks = "not drawn, since the graph is too large: the paths of 1 flow"
    assert as_dot.cut(written("dot", two).encode()) == lacks
    (graph,) = graphs(two)
    assert f'"{lacks}"' in [each.get("label") for each in graph.get_graph_defaults()]
