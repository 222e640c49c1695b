"""What several pages share: the reader of the output folder."""
