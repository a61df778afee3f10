"""Sphinx settings; the pages are plain Markdown, so that a move to another generator stays cheap."""

project = "seqcost"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]  # $…$ and $$…$$
myst_heading_anchors = 3  # links to #headings
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "seqcost"
html_copy_source = False
html_show_sphinx = False
