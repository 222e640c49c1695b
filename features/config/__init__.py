"""One TOML file as frozen, checked models, and the page that documents every key."""
