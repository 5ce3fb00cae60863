"""Suites: edits with their in-scope and out-of-scope queries, in files.

One JSON object a line is the one format for import, export, evaluation, training data and an
edit's own tests. Converters read public data sets as suites.
"""

from serac_retriever.suites.files import Line, read_lines, write_suite
from serac_retriever.suites.formats import FORMATS, read_suite

__all__ = ["FORMATS", "Line", "read_lines", "read_suite", "write_suite"]
