"""Figures for the report and the web page."""
