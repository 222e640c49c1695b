"""How the texts of a column are to be read, decided by all of its values: numbers, currencies and times."""
