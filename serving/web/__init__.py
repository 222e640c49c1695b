"""The read-only web page over an output folder."""
