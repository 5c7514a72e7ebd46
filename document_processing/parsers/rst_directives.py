"""What the directives of docutils and Sphinx are to a reader. One not named here shows its argument and body."""

from __future__ import annotations

from document_processing.word_lists import word_set

# Their body is code; the argument is its language.
CODE = word_set(
    "code code-block sourcecode parsed-literal prompt doctest testcode testoutput productionlist ipython console "
    "graphviz digraph graph mermaid uml terminal jupyter-execute plot"
)
LANGUAGE_BY_DIRECTIVE = {"doctest": "pycon", "testcode": "python", "ipython": "python", "jupyter-execute": "python"}
LANGUAGES = {"python3": "python", "pycon3": "pycon", "py": "python", "none": "", "default": "", "text": "", "guess": ""}

# Nothing that a reader sees: indexes, settings, and what is read from elsewhere.
HIDDEN = word_set(
    "index toctree module currentmodule highlight meta raw include literalinclude testsetup testcleanup sectionauthor "
    "moduleauthor codeauthor contents sectnum section-numbering tabularcolumns rst-class cssclass default-role role "
    "default-domain program date header footer title target-notes bibliography autofunction autoclass automodule "
    "automethod autodata autoattribute autoexception autoproperty autosummary minigallery inheritance-diagram "
    "plot-directive highlightlang audit-event-table currentlibrary namespace namespace-push namespace-pop unicode "
    "sphinx-autosummary only-html youtube vimeo"
)
# Their argument is for the layout; their body is text.
WRAPPERS = word_set(
    "only ifconfig container compound hlist epigraph highlights pull-quote glossary grid grid-item tab-set tabs "
    "card-carousel table-wrapper div toggle line-block list"
)
# The argument is the beginning of the text.
LABELS = {
    "note": "Note",
    "warning": "Warning",
    "tip": "Tip",
    "hint": "Hint",
    "important": "Important",
    "caution": "Caution",
    "danger": "Danger",
    "error": "Error",
    "attention": "Attention",
    "todo": "To do",
    "seealso": "See also",
    "availability": "Availability",
    "impl-detail": "Implementation detail",
    "audit-event": "Auditing event",
}
# The argument begins with one version, or two.
VERSIONS = {
    "versionadded": "New in version {}",
    "versionchanged": "Changed in version {}",
    "versionremoved": "Removed in version {}",
    "deprecated": "Deprecated since version {}",
    "deprecated-removed": "Deprecated since version {}, will be removed in version {}",
}
# Stand in front of what a directive describes.
PREFIXES = {
    "class": "class ",
    "exception": "exception ",
    "decorator": "@",
    "decoratormethod": "@",
    "classmethod": "classmethod ",
    "staticmethod": "static ",
    "coroutinefunction": "coroutine ",
    "coroutinemethod": "coroutine ",
}
IMAGES = word_set("image figure")
# Fields that set something.
HIDDEN_FIELDS = word_set("orphan tocdepth nosearch nocomments no-search og:title og:description layout")
