"""Raw rows into the tables of the contract: types, ids, side tables, contract terms; and the guess of a config."""
