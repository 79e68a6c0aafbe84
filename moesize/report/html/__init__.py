"""`report` as one self-contained page: HTML, its style, a little script for sorting, and static SVG charts.

The charts are written here and not by a charting library. matplotlib with numpy is 170 MB installed, altair with the
renderer that gives static SVG 100 MB: more than everything else moesize needs. pygal is 2 MB, but its SVG carries a
style block of its own and, unless told otherwise, a script from another host. Three kinds of chart are needed, bars,
lines and markers; they take their colours from the page, so that one file serves dark, light and print under a content
security policy that allows only the page's own style and script, by their hash.

`markup` escapes whatever is not markup; nothing else here writes a tag.
"""

from moesize.report.html.page import render

__all__ = ["render"]
