"""Suffixes of source code and other plain text, with the name of the language for the metadata."""

from __future__ import annotations

_SUFFIXES_BY_LANGUAGE = {
    "asciidoc": ".adoc .asciidoc",
    "bash": ".sh .bash .zsh",
    "batch": ".bat .cmd",
    "c": ".c .h",
    "clojure": ".clj .cljs",
    "cpp": ".cpp .cc .cxx .hpp .hh .hxx",
    "csharp": ".cs",
    "css": ".css .scss .less",
    "dart": ".dart",
    "diff": ".diff .patch",
    "elixir": ".ex .exs",
    "erlang": ".erl",
    "fortran": ".f90 .f95 .f03",
    "go": ".go",
    "graphql": ".graphql .gql",
    "haskell": ".hs",
    "ini": ".ini .cfg .conf .properties",
    "java": ".java",
    "javascript": ".js .mjs .cjs .jsx",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "latex": ".tex .sty .bib",
    "lua": ".lua",
    "org": ".org",
    "perl": ".pl .pm",
    "php": ".php",
    "powershell": ".ps1",
    "protobuf": ".proto",
    "python": ".py .pyi",
    "r": ".r",
    "ruby": ".rb",
    "rust": ".rs",
    "scala": ".scala",
    "sql": ".sql",
    "svelte": ".svelte",
    "swift": ".swift",
    "terraform": ".tf",
    "toml": ".toml",
    "typescript": ".ts .tsx",
    "vue": ".vue",
    "yaml": ".yaml .yml",
    "zig": ".zig",
}

LANGUAGE_BY_SUFFIX = {
    suffix: language for language, suffixes in _SUFFIXES_BY_LANGUAGE.items() for suffix in suffixes.split()
}
# The others are texts with markup.
CODE_LANGUAGES = frozenset(_SUFFIXES_BY_LANGUAGE) - {"asciidoc", "latex", "org"}
