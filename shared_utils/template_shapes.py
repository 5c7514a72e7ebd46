"""Chat templates as fill-in forms: rendered once for each order of roles, then filled with the messages.

Rendering costs more than tokenising. Where the program of a template shows that it only copies what messages
say (and, at most, strips it), the rendering of one conversation tells those of all with the same roles.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateError

# What may run text through code of its own, or write it somewhere else than into the output.
_OPAQUE = (
    nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock, nodes.Include, nodes.Import,
    nodes.FromImport, nodes.Extends, nodes.Block,
)  # fmt: skip
_LOOP_FACTS = ("index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0")
_TYPE_TESTS = ("string", "defined", "none", "mapping", "iterable", "sequence")


def only_copies_contents(template: str) -> bool:
    """Whether a template writes the contents of messages as they are or stripped, and decides nothing by them.

    An empty content may be treated differently. False whenever that cannot be read off the program.
    """
    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=True).parse(template)
    except TemplateError:
        return False
    if any(isinstance(node, _OPAQUE) for node in _all(tree)):
        return False
    return _Reading(tree).is_plain()


class _Reading:
    """Follows lists of messages, messages and contents through a template's names."""

    def __init__(self, tree: nodes.Template) -> None:
        self._tree = tree
        self._lists = {"messages"}
        self._messages: set[str] = set()
        self._contents: set[str] = set()

    def is_plain(self) -> bool:
        """Whether every use of the three kinds is one of those known to copy."""
        before = -1
        while before != (before := len(self._lists) + len(self._messages) + len(self._contents)):
            for node in _all(self._tree):
                self._follow(node)
        return all(self._allows(parent, child) for parent, child in _pairs(self._tree))

    def _follow(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.For) and self._is_list(node.iter):
            self._messages |= set(_names(node.target))
        if isinstance(node, nodes.Assign):
            for known, is_kind in (
                (self._lists, self._is_list),
                (self._messages, self._is_message),
                (self._contents, self._is_content),
            ):
                if is_kind(node.node):
                    known |= set(_names(node.target))

    def _allows(self, parent: nodes.Node, child: nodes.Node) -> bool:
        if isinstance(child, nodes.Name) and child.name == "loop":
            return isinstance(parent, nodes.Getattr) and parent.attr in _LOOP_FACTS
        if self._is_list(child):
            return self._list_may_stand(parent, child)
        if self._is_message(child):
            return self._message_may_stand(parent)
        return not self._is_content(child) or self._content_may_stand(parent, child)

    def _list_may_stand(self, parent: nodes.Node, child: nodes.Node) -> bool:
        if isinstance(parent, nodes.Getitem):
            return parent.node is child
        if isinstance(parent, nodes.Filter):
            return parent.name in ("length", "count")
        return isinstance(parent, (nodes.For, nodes.Assign, nodes.If, nodes.Not))

    @staticmethod
    def _message_may_stand(parent: nodes.Node) -> bool:
        if isinstance(parent, nodes.Getitem):
            return isinstance(parent.arg, nodes.Const)
        if isinstance(parent, nodes.Getattr):
            return not hasattr(dict, parent.attr)
        return isinstance(parent, nodes.Assign) or (isinstance(parent, nodes.Operand) and parent.op in ("in", "notin"))

    def _content_may_stand(self, parent: nodes.Node, child: nodes.Node) -> bool:
        if isinstance(parent, nodes.Filter):
            return parent.name == "trim" and self._is_bare(child) and not parent.args and not parent.kwargs
        if isinstance(parent, nodes.Test):
            return parent.name in _TYPE_TESTS
        if isinstance(parent, (nodes.If, nodes.Not)) or (isinstance(parent, nodes.CondExpr) and parent.test is child):
            return self._is_bare(child)
        return isinstance(parent, (nodes.Output, nodes.Add, nodes.Concat, nodes.Assign, nodes.CondExpr))

    def _is_list(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return self._is_list(node.node)
        return isinstance(node, nodes.Name) and node.ctx == "load" and node.name in self._lists

    def _is_message(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
            return self._is_list(node.node)
        return isinstance(node, nodes.Name) and node.ctx == "load" and node.name in self._messages

    def _is_bare(self, node: nodes.Node) -> bool:
        """The content itself, not something made of it."""
        if isinstance(node, nodes.Getattr):
            return node.attr == "content" and self._is_message(node.node)
        if isinstance(node, nodes.Getitem):
            key = node.arg.value if isinstance(node.arg, nodes.Const) else None
            return key == "content" and self._is_message(node.node)
        return False

    def _is_content(self, node: nodes.Node) -> bool:
        if isinstance(node, (nodes.Add, nodes.Concat)):
            return any(self._is_content(part) for part in node.iter_child_nodes())
        if isinstance(node, nodes.CondExpr):
            return self._is_content(node.expr1) or (node.expr2 is not None and self._is_content(node.expr2))
        if isinstance(node, nodes.Filter):
            return node.node is not None and self._is_content(node.node)
        if isinstance(node, nodes.Name):
            return node.ctx == "load" and node.name in self._contents
        if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
            return self._is_bare(node) or f"{node.node.name}.{node.attr}" in self._contents
        return self._is_bare(node)


def _names(target: nodes.Node) -> Iterator[str]:
    if isinstance(target, nodes.Name):
        yield target.name
    elif isinstance(target, nodes.NSRef):
        yield f"{target.name}.{target.attr}"
    for child in target.iter_child_nodes():
        yield from _names(child)


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _pairs(node: nodes.Node) -> Iterator[tuple[nodes.Node, nodes.Node]]:
    for child in node.iter_child_nodes():
        yield node, child
        yield from _pairs(child)
