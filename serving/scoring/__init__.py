"""A cutoff's customers as score tables, in bounded memory, with resume and sinks."""
