"""Raw rows into the tables of the contract: types, ids, side tables, contract terms; and the guess of a config."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "identifiers": ["as_identifier"],
        "customer_ids": [
            "FORGOTTEN_FILE",
            "IDS_FILE",
            "forgotten_list_text",
            "id_hashing_record",
            "read_forgotten",
            "stored_id",
            "stored_ids",
            "with_stored_ids",
        ],
        "customer_table": [
            "CUSTOMER_TABLE",
            "SINCE",
            "attribute_column",
            "customer_breaches",
            "customer_facts",
            "customer_lines",
            "customer_notes",
            "read_customer_rows",
        ],
        "guess_config": ["guess_config_text", "write_guessed_config"],
        "known_customers": ["require_known_customer"],
        "log": ["Business", "Log", "as_date", "config_of", "opened"],
        "set_aside": ["UNUSABLE", "unusable_reason"],
        "read_log": ["read_customer_events", "read_tables"],
        "source_files": ["files_of_sources", "is_read_by"],
        "side_tables": ["read_customer_side_rows"],
        "subscription_terms": ["RENEWAL_GRACE", "one_row_per_term"],
        "tables": ["SetAsideRows", "SideTable", "Tables"],
        "times": ["zone_notes"],
    },
)
