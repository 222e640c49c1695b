"""Raw rows into the tables of the contract: types, ids, side tables, contract terms."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "identifiers": ["SCIENTIFIC", "as_identifier", "earlier_identifier", "identifier_text"],
        "customer_ids": [
            "EARLIER_ID",
            "FORGOTTEN_FILE",
            "IDS_FILE",
            "forgotten_list_text",
            "id_hashing_record",
            "known_names",
            "read_forgotten",
            "record_id_rule",
            "stored_id",
            "stored_ids",
            "stored_spellings",
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
            "few_matches_text",
            "matches_few",
            "read_customer_rows",
        ],
        "earlier_ids": ["earlier_names"],
        "identity": ["customer_names", "persons_of", "read_persons", "rows_at"],
        "log": ["Business", "Log", "as_date", "config_of", "opened"],
        "set_aside": ["UNUSABLE", "mask_text", "unusable_reason"],
        "read_log": ["read_customer_events", "read_tables"],
        "source_files": ["files_of_sources", "is_read_by"],
        "reused_orders": ["LATER_USE", "PAUSE"],
        "side_tables": ["read_customer_side_rows"],
        "subscription_terms": ["RENEWAL_GRACE", "one_row_per_term"],
        "tables": ["OWNED", "OWN_ID", "SetAsideRows", "SideTable", "Tables"],
        "times": ["zone_notes"],
    },
)
