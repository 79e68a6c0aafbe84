"""moesize: will this model, served this way, fit on this hardware, and what would?"""

__version__ = "0.1.0"
